"""The command line: options, help and terminal output."""
