"""Images: their pinned versions, how each is built or pulled, and their known vulnerabilities."""
