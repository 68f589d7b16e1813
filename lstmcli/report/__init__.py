"""Pages that a person opens in a browser: one file, nothing loaded from elsewhere."""
