"""Workflows: one module a command; each returns a result and prints nothing."""
