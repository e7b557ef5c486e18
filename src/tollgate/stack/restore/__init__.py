"""`make restore`: restores an archive, or the database as of a moment."""
