"""LiteLLM callbacks that run inside each replica; config/litellm/*.j2 names them. README.md explains their order."""
