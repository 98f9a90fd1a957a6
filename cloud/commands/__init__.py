"""What the command line does, one file per command with more than a few lines."""
