"""Backend for providers with the Anthropic Messages API."""
