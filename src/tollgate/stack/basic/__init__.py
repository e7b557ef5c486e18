"""The small set-ups: one LiteLLM and one key, with the embedded provider or a model of your own."""
