"""Somebody else's detectors: recognised, preprocessed and decoded, in NumPy alone."""
