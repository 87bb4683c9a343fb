"""Read the JSON body of a request, and say what is wrong with it in one sentence."""

from __future__ import annotations

import re
from typing import NoReturn, TypeVar

import msgspec
from flask import Request, g
from werkzeug.exceptions import ClientDisconnected

from persona_stream.errors import InvalidRequest, TooLarge, UnsupportedMediaType

T = TypeVar("T")

_JSON_TYPE = re.compile(r"application/(json|[\w.+-]+\+json)", re.ASCII | re.IGNORECASE)


def read(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Read the body of a request.

    Raises:
        InvalidRequest: it is not a JSON object, or a field breaks its rule; the message names the field.
        TooLarge: it is over the limit.
        UnsupportedMediaType: it says that it is no JSON, or is compressed.
    """
    body = _body(request)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _invalid(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is not valid JSON in UTF-8: send one JSON object") from None


def _body(request: Request) -> bytes:
    if request.content_type is not None and not _JSON_TYPE.fullmatch(request.mimetype):
        raise UnsupportedMediaType("Content-Type: must be application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding: must be left out")
    # Kept beside the request, which lives as long as its stream: for minutes, and in thousands.
    try:
        body = g.body = request.get_data(cache=False)
    except ClientDisconnected:
        raise InvalidRequest("The body did not come whole, or not in time") from None
    limit = request.max_content_length
    # A body without a length is cut at the limit, silently.
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise TooLarge("The body is over the limit")
    return body


def _invalid(problem: str) -> NoReturn:
    # msgspec says «Expected `str`, got `int` - at `$.username`»: name the field first, as a person would.
    text, _, path = problem.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if "missing required field" in text:
        name, text = text.rpartition("field ")[2].strip("`"), "is required"
        field = f"{field}.{name}" if field else name
    if not field:
        raise InvalidRequest(f"The body must be a JSON object: {text}")
    raise InvalidRequest(f"{field}: {text}", re.split(r"[.\[]", field)[0])
