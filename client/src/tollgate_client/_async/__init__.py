"""The asynchronous half. The synchronous half, _sync, is generated from these files by client/tools/twin.py."""
