"""Talks to people: one module a command group; the only package that prints."""
