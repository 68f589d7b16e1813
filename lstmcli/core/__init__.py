"""Shared by all rooms: errors, data structures, geometry, configuration."""
