"""Backups: one archive per backup, and base backups with WAL. make.py lists the steps; restore/ brings them back."""
