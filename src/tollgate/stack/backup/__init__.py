"""Backups as single archives, and the way back: make.py and restore.py are the tables of contents."""
