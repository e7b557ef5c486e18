"""LiteLLM callbacks that run inside each replica, as config/litellm/*.j2 name them. README.md walks through them."""
