"""Labels of anybody's tools: readers, writers, and the media that they name."""
