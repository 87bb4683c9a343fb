"""Adapter of providers with OpenAI's Responses API."""
