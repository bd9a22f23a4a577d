"""What the commands are told."""
