"""Checks of a request before it is processed. Pure; replicas and gateways share them."""
