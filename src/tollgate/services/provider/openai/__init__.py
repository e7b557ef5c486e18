"""The OpenAI API: request → prompt, answer → completion or chunks, refusal → error envelope, embeddings."""
