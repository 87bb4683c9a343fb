"""Compatibility of request bodies: the field that a provider names as unsupported is left out of the next attempt.

Providers of one API differ in the fields that they know, and models of one provider do too, so no table is complete.
The error of a rejected request names the field: as ``param``, or in one of many sentences.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from persona_stream.backends.providers.errors import ProviderErrorObject

Body = Mapping[str, Any]

# Without these the answer would be another one than the client asked for, so the client gets the error.
_ESSENTIAL_FIELDS = frozenset({
    "model", "messages", "input", "system", "instructions", "text", "stream", "tools", "tool_choice", "response_format",
    "output_config", "n", "logprobs", "top_logprobs", "modalities", "audio",
})  # fmt: skip
_ESSENTIAL_MESSAGE_FIELDS = frozenset({"role", "content", "tool_calls", "tool_call_id"})
_ESSENTIAL_TOOL_FIELDS = frozenset({
    "id", "type", "function", "name", "arguments", "description", "parameters", "input_schema",
})  # fmt: skip
_REJECTION = re.compile(
    r"unsupported|not (?:be )?(?:supported|permitted|allowed|recogni[sz]ed|accepted)|do(?:es)?(?:n't| not) support"
    r"|unrecogni[sz]ed|unknown|unexpected|extra (?:inputs|fields)|extra_forbidden|deprecated|no longer"
    r"|cannot (?:both )?be (?:both )?(?:specified|used|set)|cannot specify both|cannot find field|additional propert"
    r"|not available|may only be|不支持|未知",
    re.IGNORECASE,
)
_VALUE = re.compile(r"unsupported[ _]value|value", re.IGNORECASE)
_QUOTED = re.compile(r"['\"`]([A-Za-z][\w.\[\]]*)['\"`]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TOKEN_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_NUMBER = r"[`'\"]?(\d{1,9}(?:\.\d{1,4})?)\b"
_LIMIT = re.compile(
    r"(?:> ?|at most |maximum (?:of |value (?:is |of )?)?|less than or equal to |<= ?|range[^\[]{0,60}\[[^,]{1,9}, ?)"
    + _NUMBER,
    re.IGNORECASE,
)
# Tokens that the prompt leaves of the context: "199211 + 20000 > 200000", or "5000 > 4096 - 20".
_SUM = re.compile(r"(\d{1,9}) \+ \d{1,9} > (\d{1,9})")
_DIFFERENCE = re.compile(r"> (\d{1,9}) - (\d{1,9})")
_SIGNATURE = re.compile(
    r"signature.{0,60}thinking|thinking.{0,120}(?:signature|cannot be modified)"
    r"|encrypted.content.{0,2000}could not be (?:verified|decrypted)|invalid_encrypted_content",
    re.IGNORECASE,
)
# Providers differ in the length and the characters of the end user's id.
_USER = re.compile(
    r"\buser(?:_id)?\b.{0,80}(?:length|too (?:long|short)|characters|above_max|pattern|format|email|phone)",
    re.IGNORECASE,
)


class Repair(NamedTuple):
    """Request body for the next attempt.

    ``is_lasting`` tells whether the provider rejects ``field`` in every request, and not only its value in this one.
    """

    field: str
    body: Body
    is_lasting: bool


def repair(body: Body, rejection: ProviderErrorObject, required: frozenset[str] = frozenset()) -> Repair | None:
    """Return the body without the field that the rejection names; ``None`` if it names none that can be left out.

    ``required`` has the fields of which the API allows only other values.
    """
    words = rejection.words
    if _SIGNATURE.search(words) and (repaired := _without_thinking(body)) != body:
        return Repair("thinking", repaired, is_lasting=False)
    if _USER.search(f"{rejection.parameter or ''} {words}") and (repaired := _without_user(body)) != body:
        return Repair("user", repaired, is_lasting=False)
    names = list(_iter_names(rejection))
    for field in names:
        if field not in _ESSENTIAL_FIELDS and (limit := _find_limit(words, body.get(field))) is not None:
            return Repair(field, {**body, field: limit}, is_lasting=False)
    if not _REJECTION.search(words):
        return None
    if {"temperature", "top_p"} <= body.keys() and {"temperature", "top_p"} <= set(names):
        return Repair("top_p", remove(body, "top_p"), is_lasting=False)
    for field in names:
        if field not in required and (repaired := remove(body, field)) != body:
            return Repair(field, repaired, is_lasting=not _VALUE.search(words))
    return None


def remove(body: Body, field: str) -> Body:
    """Return the body without a field, at its top level or in its messages; a token limit gets its other name."""
    if field in body:
        if field in _ESSENTIAL_FIELDS and not (field == "tool_choice" and body[field] == "auto"):  # the default
            return body
        rest = {name: value for name, value in body.items() if name != field}
        other = _TOKEN_LIMITS.get(field, field)
        return rest if other in body else {**rest, other: body[field]}
    repaired = dict(body)
    if "messages" in body:
        repaired["messages"] = [_without(message, field, _ESSENTIAL_MESSAGE_FIELDS) for message in body["messages"]]
    if "tools" in body:
        repaired["tools"] = [_without(tool, field, _ESSENTIAL_TOOL_FIELDS) for tool in body["tools"]]
    return repaired


def find_named_field(body: Body, rejection: ProviderErrorObject) -> str | None:
    """Return the field of the body that a rejection is about, for the client; ``None`` if it names none."""
    if rejection.parameter is not None:
        return rejection.parameter
    generic = {"model", "messages", "input", "stream", "user", "system", "instructions", "text", "stop"}
    return next((name for name in _iter_names(rejection) if name in body and name not in generic), None)


def _iter_names(rejection: ProviderErrorObject) -> Iterator[str]:
    """Yield the names in a rejection, the likeliest first, as they are written and in snake case."""
    texts = [rejection.parameter or "", *_QUOTED.findall(rejection.words), rejection.words]
    seen = set()
    for text in texts:
        for name in _NAME.findall(text):
            snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
            for spelling in (name, snake):
                if spelling not in seen:
                    seen.add(spelling)
                    yield spelling


def _find_limit(words: str, value: object) -> float | None:
    """Return the greatest value that the provider accepts, if that is why it rejects a greater ``value``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if match := _SUM.search(words):
        limit: float = int(match[2]) - int(match[1])
    elif match := _DIFFERENCE.search(words):
        limit = int(match[1]) - int(match[2])
    elif match := _LIMIT.search(words):
        limit = float(match[1]) if "." in match[1] else int(match[1])
    else:
        return None
    return limit if 0 < limit < value else None


def _without(item: Any, field: str, essential: frozenset[str]) -> Any:
    """Return a message, a call or a tool without a field that is not essential."""
    if not isinstance(item, dict):
        return item
    kept = {name: value for name, value in item.items() if name != field or name in essential}
    if isinstance(function := kept.get("function"), dict):
        kept["function"] = _without(function, field, _ESSENTIAL_TOOL_FIELDS)
    if isinstance(calls := kept.get("tool_calls"), list):
        kept["tool_calls"] = [_without(call, field, _ESSENTIAL_TOOL_FIELDS) for call in calls]
    return kept


def _without_user(body: Body) -> Body:
    """Return the body without the id of the end user, in either API."""
    rest = {name: value for name, value in body.items() if name != "user"}
    match body.get("metadata"):
        case {"user_id": _, **others}:
            rest = {name: value for name, value in rest.items() if name != "metadata" or others}
            rest |= {"metadata": others} if others else {}
    return rest


def _without_thinking(body: Body) -> Body:
    """Return the body without thinking blocks or reasoning items, which only the model that made them accepts."""
    if isinstance(items := body.get("input"), list):
        return {**body, "input": [item for item in items if item.get("type") != "reasoning"]}
    if "messages" not in body:
        return body
    return {**body, "messages": [_keep_other_blocks(message) for message in body["messages"]]}


def _keep_other_blocks(message: Any) -> Any:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    kept = [block for block in message["content"] if block.get("type") not in ("thinking", "redacted_thinking")]
    return {**message, "content": kept} if kept else message
