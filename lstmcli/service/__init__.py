"""Detection as a network service: cameras, videos and streams of frames (extra `serve`)."""
