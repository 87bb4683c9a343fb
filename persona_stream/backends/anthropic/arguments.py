"""The arguments of a call: an object on this wire, and everywhere else JSON as the model wrote it."""

from __future__ import annotations

import json

from persona_stream.backends.providers.parsing import parse


def input_of(arguments: str) -> dict[str, object]:
    """Give arguments as an object.

    What is none, because a model wrote it badly or came to its limit, becomes the one argument ``arguments``: so the
    conversation can go on, and the model sees what it did.
    """
    parsed = parse(arguments)
    if isinstance(parsed, dict):
        return parsed
    return {"arguments": arguments} if arguments.strip() else {}


def arguments_of(found: object) -> str:
    """Give an ``input`` as JSON. One that is a text was written down in parts, and is what the model wrote."""
    if isinstance(found, str):
        return found.strip() or "{}"
    return "{}" if found is None else json.dumps(found, ensure_ascii=False)
