"""What the acoustic families share: frames and spectra, the voice's pitch and resonances, statistics of tracks."""
