"""Trained networks at work: runtimes, state along a stream, NMS and track memory."""
