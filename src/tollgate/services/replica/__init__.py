"""How a LiteLLM replica starts: secret files in, the environment LiteLLM insists on, then the server itself."""
