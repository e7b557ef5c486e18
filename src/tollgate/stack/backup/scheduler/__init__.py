"""The container that takes backups on a schedule: `python -m tollgate.stack.backup.scheduler`."""
