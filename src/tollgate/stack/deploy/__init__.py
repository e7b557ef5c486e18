"""`make deploy`: its steps, the checks before them, and the files that they render."""
