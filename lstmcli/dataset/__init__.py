"""Prepared data: manifest, frame store, clips, augmentation and checks."""
