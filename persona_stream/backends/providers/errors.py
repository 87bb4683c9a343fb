"""Errors of model providers: their kinds, the words by which they are recognized, and the masking of keys in them.

A ``ProviderError`` ends one attempt. Its ``kind`` selects the text for the client (``texts.toml``) and the meaning of
the failure in every protocol; its ``detail`` and its ``words`` may quote the provider, and go to the log only.

Providers and gateways say the same in many ways: in a code, a type, a status, or a sentence, in the error object or in
a string inside it. The codes and the words below come from public reports about those providers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import msgspec

from persona_stream.errors import BackendErrorCode

ErrorKind = Literal[
    "credentials", "credit", "model", "too_long", "filtered", "refused", "rate_limited", "busy", "failed", "timeout",
    "unreachable", "broken_off", "unreadable", "empty", "too_large",
]  # fmt: skip

# The others mean nothing that a client could act upon.
MEANINGS: Mapping[ErrorKind, BackendErrorCode] = {
    "too_long": "context_length_exceeded",
    "rate_limited": "rate_limited",
    "busy": "overloaded",
    "model": "model_not_found",
    "filtered": "content_filter",
}

MAX_QUOTED_CHARS = 500
MIN_MASKED_CHARS = 8  # a shorter prefix of an API key only shows which provider issued it
MAX_WORDS_CHARS = 4000


@dataclass(frozen=True, slots=True)
class ProviderErrorObject:
    """Error object of a response or a stream.

    Attributes:
        status: the HTTP status that it stands for, where the response itself has a status of success.
        kind: the meaning of its code, where that is more specific than the status.
        words: all texts in it, joined; may be empty.
        parameter: the field of the request that it is about, if it has a field for that.
        retry_after: the delay in seconds that it requires before another attempt.
    """

    status: int = 500
    kind: ErrorKind | None = None
    words: str = ""
    parameter: str | None = None
    retry_after: float | None = None


@dataclass(eq=False)
class ProviderError(Exception):
    """Failure of one attempt to get an answer from a provider.

    Attributes:
        kind: selects the text for the client.
        detail: the text for the log; it may quote the provider.
        retryable: whether another attempt may succeed.
        fallback_allowed: whether another provider may succeed: this one was unreachable, busy, or failed.
        is_outage: whether the circuit breaker counts the error as a failure of the provider.
        retry_after: delay in seconds that the provider requires before another attempt, or ``None``.
        rejection: the error object of a rejected request, if nothing was sent yet: without the field that it names,
            the request may succeed.
    """

    kind: ErrorKind
    detail: str
    _: KW_ONLY
    retryable: bool = False
    fallback_allowed: bool = False
    is_outage: bool = False
    retry_after: float | None = None
    rejection: ProviderErrorObject | None = None

    def after_partial_output(self) -> "ProviderError":
        """Return the error for an answer that was partly sent, which no retry or fallback can start again."""
        kind: ErrorKind = "broken_off" if self.kind == "unreachable" else self.kind
        return ProviderError(kind, self.detail, retry_after=self.retry_after)


_CODES: Mapping[ErrorKind, str] = {
    "credentials": "invalid_api_key authentication_error invalid_authentication_error unauthorized unauthenticated"
    " permission_error permission_denied invalidapikey account_deactivated access_denied accessdenied",
    "credit": "insufficient_quota insufficient_user_quota insufficient_balance billing_error billing_not_active"
    " billing_hard_limit_reached arrearage exceeded_current_quota_error",
    "model": "model_not_found model_not_exist modelnotfound not_found_error",
    "too_long": "context_length_exceeded context_window_exceeded contextwindowexceedederror exceed_context_size_error"
    " model_max_prompt_tokens_exceeded request_too_large 1261",
    "filtered": "content_filter content_filtered content_policy_violation contentpolicyviolationerror invalid_prompt"
    " data_inspection_failed datainspectionfailed moderation_blocked responsibleaipolicyviolation prohibited_content"
    " 1301",
    "rate_limited": "rate_limit_error rate_limit_exceeded rate_limit_reached_error ratelimiterror resource_exhausted"
    " too_many_requests throttling throttlingexception 1302 1303",
    "busy": "overloaded overloaded_error engine_overloaded_error server_overloaded unavailable serviceunavailable"
    " service_unavailable insufficient_system_resource 1305",
    "timeout": "timeout_error deadline_exceeded",
}
_KIND_BY_CODE = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
_CODE_FIELDS = ("code", "type", "status", "error_type", "error_code")
_STATUS_FIELDS = ("code", "status", "status_code", "http_status")
_STATUS_BY_KIND: Mapping[ErrorKind, int] = {
    "credentials": 401, "credit": 429, "model": 404, "too_long": 400, "filtered": 400, "rate_limited": 429,
    "busy": 503, "timeout": 504,
}  # fmt: skip

_KIND_BY_MINIMAX_CODE: Mapping[int, ErrorKind] = {
    1001: "timeout", 1002: "rate_limited", 1004: "credentials", 1008: "credit", 1026: "filtered", 1027: "filtered",
    1039: "rate_limited", 2049: "credentials",
}  # fmt: skip

# In the order of the table: "Too many tokens, please wait" is a rate limit, and "too many tokens" is a long prompt.
_PATTERNS: Mapping[ErrorKind, str] = {
    "credit": r"insufficient[ _](?:quota|balance|credit|fund)|credit balance is too low|out of credits"
    r"|billing hard limit|欠费|余额不足|额度不足",
    "rate_limited": r"rate[ _-]?limit|too many requests|too many tokens, please wait|throttl|resource[ _]exhausted"
    r"|(?:tokens|requests) per (?:minute|min|day|hour)|quota (?:was |is )?exceeded|exceeded your current quota"
    r"|速率限制|请求过于频繁|并发",
    "too_long": r"context_length_exceeded|exceed_context_size|model_max_prompt_tokens_exceeded"
    r"|(?:prompt|input|messages)[a-z ]{0,20} too long|context.?window.?exceeded"
    r"|longer than (?:the|this) (?:model|maximum|context)[^.]{0,40}(?:context|length)"
    r"|exceed\w*[^.]{0,60}(?:context|token limit|tokens allowed|input length|prompt length|model length)"
    r"|(?:context|token)[ _-]?(?:length|window|size|limit)[^.]{0,40} exceed"
    r"|token count of \d+ exceeds the limit of|input tokens exceed"
    r"|maximum (?:context|prompt|input|model) length (?:is|of)\b|too large for model with"
    r"|reduce (?:the length of )?(?:the|your) (?:messages|prompt|input)|greater than the context length"
    r"|too many (?:input )?tokens|range of input length|must have less than \d+ tokens|cannot truncate to \d+"
    r"|`inputs` tokens \+ `max_new_tokens`|超长|(?:上下文|输入|prompt)[^。]{0,20}(?:过长|太长|超过|超出)"
    r"|(?:超过|超出)[^。]{0,20}(?:上下文|长度|token)",
    "filtered": r"content[ _-]?(?:filter|policy|management policy)|content_policy|data[ _]may[ _]contain inappropriate"
    r"|inappropriate content|moderation|flagged (?:as|by|for)|was flagged|safety (?:system|policy|filter)"
    r"|prohibited[ _]content|responsible ?ai|usage polic|sensitive (?:content|words|information)"
    r"|敏感|违规|不安全|内容审核",
    "busy": r"overloaded|over capacity|at capacity|no (?:available )?capacity|model is busy|server is busy|繁忙|过载",
    "credentials": r"(?:invalid|incorrect|missing|wrong|expired)[ _](?:api[ _-]?)?(?:key|token)\b"
    r"|api[ _-]?key not valid|api[ _-]?key[^.]{0,40}(?:invalid|expired|incorrect)"
    r"|invalid authentication|unauthori[sz]ed|login fail|密钥|令牌",
    "model": r"model[ _]not[ _](?:found|exist)|no such model|unknown model|no models? loaded|模型不存在"
    r"|model\b[^.]{0,120}(?:does not exist|not found|is not available|not available)",
}  # fmt: skip
_COMPILED: Sequence[tuple[ErrorKind, re.Pattern[str]]] = [
    (kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _PATTERNS.items()
]
# Too weak for errors of the server, which may report on any request.
_WEAK_TOO_LONG = re.compile(r"context.?(?:length|window|limit|size)", re.IGNORECASE)
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,63}")
_CONVERSATION = re.compile(r"(?:messages|input)(?:\[.*)?", re.DOTALL)
_DELAY = re.compile(
    r"(?:try again|retry)(?: in| after) (?:(\d{1,4})m ?)?(\d{1,5}(?:\.\d{1,9})?) ?(ms|s\b|sec)", re.IGNORECASE
)
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s?")
# Texts of the client or of the model, whose words say nothing about the error.
_QUOTING_FIELDS = frozenset({"failed_generation", "input", "prompt", "messages", "request", "choices", "usage"})
_NOTHING = frozenset({"", "0", "200", "null", "none", "ok", "success", "false"})


def parse_error_object(error: object) -> ProviderErrorObject | None:
    """Parse an error object, or a text in its place, in any of the forms that providers have for it.

    Returns:
        The object; ``None`` if it says nothing: gateways add empty ones to good answers.
    """
    match error:
        case str() if error.strip().lower() not in _NOTHING:
            return ProviderErrorObject(kind=find_kind(error), words=error[:MAX_WORDS_CHARS])
        case [dict() as first, *_]:
            return parse_error_object(first)
        case dict() if _says_something(error):
            return _parse_object(error)
        case _:
            return None


def parse_body_error(body: Mapping[str, Any], marker: str) -> ProviderErrorObject | None:
    """Parse the ``error`` of a body, or a body that is an error object itself, by the word in its field ``marker``."""
    error = body.get("error")
    if found := parse_error_object(error):
        return found
    if body.get(marker) == "error" or error is True:
        rest = {name: value for name, value in body.items() if name not in (marker, "error")}
        return parse_error_object(rest) or ProviderErrorObject()
    return None


def parse_bare_error(body: Mapping[str, Any]) -> ProviderErrorObject | None:
    """Parse the fields in which some providers report errors under HTTP 200, beside an answer or in its place.

    MiniMax has ``base_resp``, Baidu ``error_code``, Cloudflare ``errors``, DashScope and Zhipu ``code`` and a text,
    frameworks ``detail``.
    """
    match body:
        case {"base_resp": {"status_code": int(code), **rest}} if code:
            kind = _KIND_BY_MINIMAX_CODE.get(code)
            words = str(rest.get("status_msg", ""))
            return ProviderErrorObject(_STATUS_BY_KIND.get(kind or find_kind(words) or "failed", 500), kind, words)
        case {"choices": _} | {"content": _}:
            return None
        case {"error_code": code, "error_msg": str()} | {"code": code, "message": str()} | {"code": code, "msg": str()}:
            return parse_error_object(body) if _is_meaningful(code) else None
        case {"errors": list(found)} if found:
            return parse_error_object(found)
        case {"detail": str(found)}:
            return parse_error_object(found)
        case {"detail": dict(found)}:
            return parse_error_object(found.get("error") or found)
        case {"detail": list(found)} if found:
            return ProviderErrorObject(words=" ".join(_iter_texts(found))[:MAX_WORDS_CHARS])
        case _:
            return None


def _parse_object(error: Mapping[str, Any]) -> ProviderErrorObject:
    words = " ".join(_iter_texts(error))[:MAX_WORDS_CHARS]
    inner = error.get("innererror")
    codes = [error.get(name) for name in _CODE_FIELDS] + [inner.get("code") if isinstance(inner, dict) else None]
    kinds = (_KIND_BY_CODE.get(str(code).lower().replace(" ", "_")) for code in codes if isinstance(code, str | int))
    kind = next((kind for kind in kinds if kind is not None), None)
    status = next(filter(None, (_http_status(error.get(name)) for name in _STATUS_FIELDS)), None)
    parameter = error.get("param")
    if _CONVERSATION.fullmatch(str(parameter)):
        kind = kind or ("too_long" if error.get("code") == "string_above_max_length" else None)
    return ProviderErrorObject(
        status or _STATUS_BY_KIND.get(kind or find_kind(words) or "failed", 500),
        kind,
        words,
        parameter if isinstance(parameter, str) and _PARAMETER.fullmatch(parameter) else None,
        _find_delay(error, words),
    )


def find_kind(words: str) -> ErrorKind | None:
    """Return the meaning of an error's words; ``None`` if they are not known."""
    return next((kind for kind, pattern in _COMPILED if pattern.search(words)), None)


def mentions_context(words: str) -> bool:
    """Return whether the words of a rejected request are about the model's context."""
    return _WEAK_TOO_LONG.search(words) is not None


def _says_something(error: Mapping[str, Any]) -> bool:
    """Return whether an error object has more than a type; beside an empty message, an unknown type says nothing."""
    if any(_is_meaningful(value) for name, value in error.items() if name not in ("type", "param")):
        return True
    kind = error.get("type")
    return _is_meaningful(kind) and ("message" not in error or str(kind).lower() in _KIND_BY_CODE)


def _is_meaningful(value: object) -> bool:
    match value:
        case dict():
            return any(map(_is_meaningful, value.values()))
        case list():
            return any(map(_is_meaningful, value))
        case None:
            return False
        case _:
            return str(value).strip().lower() not in _NOTHING


def _iter_texts(value: object, depth: int = 0) -> Iterator[str]:
    """Yield the texts in an error object, except those that quote the request or the answer."""
    match value:
        case str() if value[:1] in ("{", "[") and isinstance(parsed := _loads(value), dict | list):
            yield from _iter_texts(parsed, depth + 1)
        case str():
            yield value
        case dict() if depth < 5:
            for name, item in value.items():
                if name not in _QUOTING_FIELDS:
                    yield from _iter_texts(item, depth + 1)
        case list() if depth < 5:
            for item in value:
                yield from _iter_texts(item, depth + 1)


def _loads(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None


def _http_status(code: object) -> int | None:
    """Return the HTTP status in a code, where gateways put it."""
    if isinstance(code, str):
        code = int(code) if re.fullmatch("[1-9][0-9]{2}", code) else None
    return code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code <= 599 else None


def _find_delay(error: Mapping[str, Any], words: str) -> float | None:
    """Return the seconds in ``retry_after``, in a ``retryDelay`` as Google has it, or in the words."""
    details = error.get("details")
    found = [item.get("retryDelay") for item in details if isinstance(item, dict)] if isinstance(details, list) else []
    for value in (error.get("retry_after"), *found):
        if isinstance(value, int | float | str) and (match := _DURATION.fullmatch(str(value))):
            return float(match[1])
    if match := _DELAY.search(words):
        seconds = float(match[2]) / (1000 if match[3].lower() == "ms" else 1)
        return 60 * int(match[1] or 0) + seconds
    return None


def quote(body: bytes) -> str:
    """Return the beginning of an untrusted body, on one line and without terminal escapes."""
    return repr(body[: MAX_QUOTED_CHARS * 4].decode(errors="replace")[:MAX_QUOTED_CHARS])


def mask(text: str, secret: str) -> str:
    """Replace a secret in a text, also a prefix of it at which a quotation was cut."""
    if not secret:
        return text
    masked = text.replace(secret, "***")
    for size in range(len(secret) - 1, MIN_MASKED_CHARS - 1, -1):
        masked = masked.replace(secret[:size], "***")
    return masked
