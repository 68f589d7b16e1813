"""The command line: options in, words and numbers out."""
