"""LiteLLM loads this, in its own environment: one key is right."""

from __future__ import annotations

from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth


async def check(request: Request, api_key: str) -> UserAPIKeyAuth:
    if api_key != "sk-e2e-0123456789abcdef":
        raise HTTPException(401, f"Incorrect API key provided: {api_key}")
    return UserAPIKeyAuth(api_key=api_key)
