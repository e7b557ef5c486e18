"""Tollgate: a production LLM gateway kit around LiteLLM."""

__version__ = "0.1.0"
