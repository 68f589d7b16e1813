"""Nouns that everybody may use: errors, structures, geometry, configuration."""
