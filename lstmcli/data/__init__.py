"""From labels and media to prepared clips: formats in, formats out, review, training data."""
