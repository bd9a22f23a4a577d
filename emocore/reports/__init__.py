"""Pages, plots and the lines that a finished job prints."""
