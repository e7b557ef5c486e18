"""The ledger of the direct route: a journal on disk first, then the rows that LiteLLM would have written.

`usage` and `price` say what a call used and cost. `journal` writes it down before the client has the last byte.
`recover` reads what a killed process left. `ship` brings everything to Postgres, each call once.
"""
