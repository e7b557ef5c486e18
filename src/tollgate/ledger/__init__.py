"""Spend by tenant, key and model: LiteLLM's ledger as values. Pure; stack/ledger.py reads the database."""
