"""What was spent, by whom and on what: LiteLLM's ledger as values. Pure; stack/ledger.py reads it."""
