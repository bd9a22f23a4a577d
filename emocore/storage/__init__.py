"""Where files lie: the output folder, whole files, tables."""
