"""The host: its commands, its Docker engine, its packages, the lock, the owner of the files."""
