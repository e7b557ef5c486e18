"""A LiteLLM replica: it reads secret files, sets the environment for LiteLLM, and starts the server with our layers."""
