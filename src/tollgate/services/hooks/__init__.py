"""LiteLLM callbacks that run inside each replica; config/litellm/config.yaml.j2 names them, README.md walks through them."""
