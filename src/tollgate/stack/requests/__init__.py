"""Traces one request through logs, journal and ledger."""
