"""Upgrade to another LiteLLM release, and rollback. check.py checks, change.py switches, record.py records it."""
