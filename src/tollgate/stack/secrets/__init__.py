"""Secrets: stores them on disk, changes them while the stack runs, and gives each container its own."""
