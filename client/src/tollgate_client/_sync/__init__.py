# Generated from _async/__init__.py by client/tools/twin.py. Edit that file, and run it again.
"""The synchronous half, generated from _async by client/tools/twin.py. Do not edit it."""
