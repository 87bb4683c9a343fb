"""Answer with a body of JSON."""

from __future__ import annotations

from flask import Response

from persona_stream.protocols.base import to_json


def json_answer(body: object, status: int = 200) -> Response:
    """Write a body of the wire."""
    return Response(to_json(body), status, content_type="application/json")
