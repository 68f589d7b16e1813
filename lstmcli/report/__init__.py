"""HTML reports: one file each, nothing loaded from elsewhere."""
