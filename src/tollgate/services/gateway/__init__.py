"""The gateway process: it serves a model directly if its provider speaks our protocols, otherwise through LiteLLM."""
