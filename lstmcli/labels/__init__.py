"""Label formats of annotation tools: readers, writers, and the media that they name."""
