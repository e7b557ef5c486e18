"""The one limiter: requests, tokens, running requests and money of tenants and keys, over all processes."""
