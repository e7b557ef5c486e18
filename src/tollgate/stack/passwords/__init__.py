"""Rotation of the stack's own passwords while it runs."""
