"""Whole responses of providers, and the parts of them that streams have too: errors, finish reasons, unknown fields."""

import json
import logging
import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

import msgspec

from persona_stream.backends.providers import base, errors, transport
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import Answer, Finish, Query
from persona_stream.core.sse import parse_retry_after


def loads_lenient(text: bytes | str) -> object:
    """Parse untrusted JSON; return ``None`` if it is invalid.

    Lone surrogates and ``NaN`` are accepted, so that one odd field does not cost the rest of an answer.
    """
    try:
        # Several times as fast, and stricter.
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_KIND_BY_STATUS: Mapping[int, errors.ErrorKind] = {
    401: "credentials",
    402: "credit",
    403: "credentials",
    404: "model",
    408: "timeout",
    413: "too_long",
    429: "rate_limited",
    503: "busy",
    504: "timeout",
    529: "busy",
}
# Kinds that the words of an error may give to its status: a proxy answers 403 for the content filter behind it.
_SPECIFIC_KINDS: Mapping[int, Set[errors.ErrorKind]] = {
    401: frozenset({"credit"}),
    403: frozenset({"filtered", "credit", "model", "too_long"}),
    404: frozenset({"filtered"}),
    413: frozenset({"rate_limited"}),
    429: frozenset({"credit"}),
    **dict.fromkeys((402, 408, 503, 504, 529), frozenset()),
}
_SPECIFIC_FAILURES: Set[errors.ErrorKind] = frozenset({"too_long", "filtered", "credit", "rate_limited", "busy"})
# Errors of the request or of the account: neither another attempt nor another time would help.
_LASTING_KINDS: Set[errors.ErrorKind] = frozenset({"credit", "credentials", "model", "too_long", "filtered"})
# A prompt may be too long beside the requested tokens only.
_REJECTIONS: Set[errors.ErrorKind] = frozenset({"refused", "failed", "too_long"})
_MILLISECOND_HEADERS = ("retry-after-ms", "x-ms-retry-after-ms")  # of OpenAI and of Azure
_REJECTED_STATUSES = (400, 422, 500)  # some gateways answer 500 for any error behind them


def error_from_response(
    response: transport.Response, status: int, error: errors.ProviderErrorObject | None, adapter: base.ProviderAdapter
) -> errors.ProviderError:
    """Build the error for an unsuccessful response, which means the HTTP ``status``, from 300 on."""
    error = error or errors.ProviderErrorObject()
    kind = _error_kind(status, error, is_page=response.body.lstrip().startswith(b"<"))
    headers = response.headers
    location = headers.get("Location")
    target = f" to {errors.quote(location.encode())}" if location else ""
    retry_after = _required_delay(headers)
    is_lasting = kind in _LASTING_KINDS
    return errors.ProviderError(
        kind,
        f"status {response.status}{target}: {errors.quote(response.body)}",
        # OpenAI's clients obey this header, and gateways send it for errors that a retry would only repeat.
        retryable=status in adapter.retryable_statuses and not is_lasting and headers.get("x-should-retry") != "false",
        fallback_allowed=(status == 429 or status >= 500) and kind not in ("too_long", "filtered"),
        is_outage=status >= 500 and not is_lasting,
        retry_after=error.retry_after if retry_after is None else retry_after,
        rejection=error if kind in _REJECTIONS and status in _REJECTED_STATUSES else None,
    )


def _required_delay(headers: Mapping[str, str]) -> float | None:
    """Return the delay that a provider requires, in seconds: the precise one, where it sends whole seconds, too."""
    for name in _MILLISECOND_HEADERS:
        if (milliseconds := parse_retry_after(headers.get(name))) is not None:
            return milliseconds / 1000
    return parse_retry_after(headers.get("Retry-After"), headers.get("Date"))


def _error_kind(status: int, error: errors.ProviderErrorObject, *, is_page: bool) -> errors.ErrorKind:
    if error.kind is not None:
        return error.kind
    # Redirects are not followed: the API key would be sent to their target. A web page comes from a firewall.
    if status < 400 or (status == 403 and is_page):
        return "unreachable"
    kind = errors.find_kind(error.words)
    if kind in _SPECIFIC_KINDS.get(status, {kind} if status < 500 else _SPECIFIC_FAILURES) and kind is not None:
        return kind
    if status in (400, 422) and errors.mentions_context(error.words):
        return "too_long"
    if status in _KIND_BY_STATUS:
        return _KIND_BY_STATUS[status]
    return "failed" if status >= 500 else "refused"


def requested_choices(query: Query) -> int:
    """Return how many choices the client requested."""
    choices = query.parameters.get("n")
    return choices if isinstance(choices, int) else 1


def parse_response(response: transport.Response, adapter: base.ProviderAdapter, choices: int = 1) -> Answer:
    """Parse the answer in a whole response, for the number of choices that the client requested.

    Raises:
        ProviderError: it contains no answer.
    """
    parsed = loads_lenient(response.body)
    error = adapter.parse_error(parsed)
    if not 200 <= response.status < 300:
        raise error_from_response(response, response.status, error, adapter)
    if error is not None:
        raise error_from_response(response, error.status, error, adapter)
    try:
        return adapter.parse_completion(parsed, choices)
    except errors.ProviderError as failure:
        raise errors.ProviderError(failure.kind, f"{failure.detail}: {errors.quote(response.body)}") from None


_REASONS: Mapping[Finish, str] = {
    "stop": "stop end_turn stop_sequence pause_turn end eos eos_token end_of_turn complete completed finished done"
    " normal stop_token stop_token_ids",
    "length": "length max_tokens max_token max_length max_output_tokens max_new_tokens model_length token_limit limit"
    " context_length model_context_window_exceeded context_window_exceeded error_limit truncated incomplete",
    "tools": "tools tool_use tool_uses tool_call tool_calls function_call",
    "filter": "filter content_filter content_filtered refusal safety recitation blocklist prohibited_content spii"
    " sensitive image_safety language other guardrail_intervened guardrail guardrails error_toxic blocked"
    " content_policy moderation",
}
_FINISH_BY_REASON = {reason: finish for finish, reasons in _REASONS.items() for reason in reasons.split()}
# Reasons that stand for errors. Text that came before is not the answer.
_FAILED_REASONS: Mapping[str, errors.ErrorKind] = {
    "error": "failed",
    "network_error": "failed",
    "internal_error": "failed",
    "malformed_function_call": "failed",
    "unexpected_tool_call": "failed",
    "insufficient_system_resource": "busy",
    "overloaded": "busy",
    "abort": "broken_off",
    "aborted": "broken_off",
    "cancelled": "broken_off",
    "canceled": "broken_off",
    "user_cancel": "broken_off",
    "timeout": "timeout",
}
_UNKNOWN_REASONS: Sequence[tuple[re.Pattern[str], Finish]] = [
    (re.compile("token|length|limit|truncat|cut"), "length"),
    (re.compile("filter|safety|polic|block|sensitive|moderat|prohibit|refus|guard|violat"), "filter"),
]
_NO_REASONS = frozenset({"", "null", "none", "undefined", "unspecified", "unfinished"})


def normalize_finish_reason(reason: object) -> str:
    """Return a finish reason in the spelling of the tables above; an empty string if the answer has not ended.

    Gateways forward the reasons of the providers behind them as they are (``MAX_TOKENS``), with a prefix
    (``FINISH_REASON_SAFETY``) or with details (``content_filter: PROHIBITED_CONTENT``), and ``"null"`` before the end.
    """
    if not isinstance(reason, str):
        return ""
    name = re.sub(r"[\s-]+", "_", reason.partition(":")[0].strip().lower())
    name = name.removeprefix("finish_reason_").removeprefix("finishreason.").removeprefix("stop_reason_")
    return "" if name in _NO_REASONS else name


def map_finish_reason(reason: object, *, text: str, has_calls: bool, logger: logging.Logger, field: str) -> Finish:
    """Map a provider's finish reason; an answer with tool calls ends in ``tools`` for any other normal reason.

    An unknown reason is logged with ``field``, the provider's name for it, and counts as an early end if its name says
    so. A cut or filtered answer is never ``stop``.

    Raises:
        ProviderError: the answer is empty, or failed. One that reached the client's token limit before its first word
            is not empty.
    """
    name = normalize_finish_reason(reason)
    if name in _FAILED_REASONS:
        raise errors.ProviderError(_FAILED_REASONS[name], f"{field} {reason!r:.100}", fallback_allowed=True)
    if name in _FINISH_BY_REASON:
        finish = _FINISH_BY_REASON[name]
    else:
        finish = next((finish for pattern, finish in _UNKNOWN_REASONS if pattern.search(name)), "stop")
        if name:
            logger.warning("unknown %s %.100r: the answer counts as ended by %r", field, reason, finish)
    if not (text.strip() or has_calls or finish == "length"):
        raise errors.ProviderError("filtered" if finish == "filter" else "empty", f"no text, {field} {reason!r:.100}")
    if finish in ("stop", "tools"):
        return "tools" if has_calls else "stop"
    return finish


def unknown_fields(value: object, known: Set[str]) -> dict[str, Any]:
    """Return the fields of an object that are neither known nor ``null``."""
    if not isinstance(value, Mapping):
        return {}
    return {name: item for name, item in value.items() if name not in known and item is not None}


def provider_fields(protocol: str, sections: Mapping[str, Any]) -> ProviderFields | None:
    """Return the sections of unknown fields that are not empty; ``None`` if all are."""
    found = {name: fields for name, fields in sections.items() if fields}
    return ProviderFields(protocol, found) if found else None


NO_ARGUMENTS = "{}"


def normalize_arguments(arguments: str) -> str:
    """Return the arguments of a tool call without the additions of gateways.

    Some send the empty object with which a call begins in Anthropic's streams, some encode the arguments twice, and
    some have ``null`` or nothing for a call without arguments.
    """
    text = arguments.strip()
    text = text.removeprefix(NO_ARGUMENTS).lstrip() or text
    if text in ("", "null"):
        return NO_ARGUMENTS
    inner = loads_lenient(text) if text.startswith('"') else None
    return inner if isinstance(inner, str) and isinstance(loads_lenient(inner), dict) else text


def parse_arguments(arguments: str) -> dict[str, object]:
    """Parse the arguments of a call in an earlier answer, which providers require to be a JSON object.

    Invalid JSON, from a careless model or one that reached its token limit, becomes the single argument ``arguments``,
    so that the conversation can continue and the model sees its mistake.
    """
    parsed = loads_lenient(arguments)
    if isinstance(parsed, dict):
        return parsed
    return {"arguments": arguments} if arguments.strip() else {}


def valid_arguments(arguments: str) -> str:
    """Return the arguments of a call in an earlier answer as the JSON text of an object."""
    parsed = loads_lenient(arguments)
    return arguments if isinstance(parsed, dict) else json.dumps(parse_arguments(arguments))


MAX_COUNT = 2**53 - 1  # the greatest that every JSON parser reads exactly


def parse_count(value: object) -> int | None:
    """Return an untrusted count, also of a text or of a float; ``None`` if it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return None
    return int(value)


def string_or_empty(value: object) -> str:
    """Return an untrusted value if it is a string, and an empty string otherwise."""
    return value if isinstance(value, str) else ""
