"""Third-party detectors: recognition, preprocessing and decoding in NumPy."""
