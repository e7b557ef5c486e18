"""The code that calls LiteLLM's management API, and the values that it reads and writes there."""
