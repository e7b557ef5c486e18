"""Refusals: the error answers for clients, and each API's envelope. Replicas and gateways share them."""
