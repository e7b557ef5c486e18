"""Tenants of a deployment: reads and writes their files and keys, and applies them to LiteLLM."""
