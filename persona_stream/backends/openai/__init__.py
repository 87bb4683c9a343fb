"""Backend for providers with the OpenAI Chat Completions API."""
