"""A query as the body of a request."""

from __future__ import annotations

from persona_stream.query import Query


def body_of(query: Query, model: str) -> dict[str, object]:
    """Give the JSON object to send: the system prompt if there is one, history, message, and how to sample."""
    prompt = query.system_prompt()
    messages = [{"role": "system", "content": prompt}] if prompt else []
    messages += [{"role": turn.role, "content": turn.content} for turn in query.history]
    messages.append({"role": "user", "content": query.message})
    return {**query.parameters, "model": model, "messages": messages, "stream": False}
