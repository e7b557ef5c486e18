"""Calls to model providers: connection pools, addresses, credentials, and failures as values."""
