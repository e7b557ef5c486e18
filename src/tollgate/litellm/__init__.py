"""Everything that knows LiteLLM: its management API and its database schema."""
