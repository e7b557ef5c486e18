"""The Anthropic Messages API: request → prompt, answer → message or events, refusal → error envelope."""
