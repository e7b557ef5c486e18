"""Another LiteLLM release, and the way back: check.py looks, change.py does it, record.py remembers."""
