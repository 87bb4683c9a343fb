"""Types of setting values: msgspec checks their types and bounds, and a ``Form`` says how they are written.

Invariants:

- ``convert`` accepts its own results, so that values are checked as often as needed.
- An error has the allowed values and never the value itself, which may be a secret.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

# A newline in an API key breaks the request's header, and one at a secret's end invalidates every token. Surrogates
# come from an environment that is not UTF-8.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([A-Za-z]*)", re.ASCII)
_DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SIZE_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SWITCH = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
MAX_DURATION = 36_500 * 86_400.0  # seconds


@dataclass(frozen=True)
class Form:
    """Textual form of a value: ``parse`` converts a text or checks another value, and ``format`` is its inverse."""

    expects: str  # allowed values, to follow "must be"
    metavar: str = "TEXT"  # placeholder in ``--help``
    parse: Callable[[Any], object] = lambda value: value
    format: Callable[[Any], str] = str
    off: tuple[str, ...] = ()  # words for ``None``


def convert(value: object, annotation: Any) -> Any:
    """Return a text, or a value from TOML or from code, in the type of one of the annotations below.

    Lists can be texts with commas. An empty text and ``False`` turn an optional value off.

    Raises:
        ValueError: the value is not allowed; the text follows "must be".
    """
    form = form_of(annotation)
    base = get_args(annotation)[0]
    is_off = value is None or value is False or value == "" or str(value).lower() in form.off
    if is_off and type(None) in get_args(base):
        return None
    try:
        parsed = _parse_items(value, form) if get_origin(base) is tuple else _parse(value, form)
        return msgspec.convert(parsed, annotation, strict=False)
    except ValueError:
        raise ValueError(f"{form.expects}, or {form.off[0]}" if form.off else form.expects) from None


def _parse_items(value: object, form: Form) -> list[object]:
    if isinstance(value, str):
        value = [item.strip() for item in value.split(",")] if value.strip() else []
    if isinstance(value, list | tuple):
        items = [_parse(item, form) for item in value]
        if "*" not in items or len(items) == 1:
            return items
    raise ValueError


def _parse(value: object, form: Form) -> object:
    if value is None or (isinstance(value, str) and UNPRINTABLE.search(value)):
        raise ValueError
    return form.parse(value)


def format_value(value: Any, annotation: Any) -> str:
    """Write a value so that ``convert`` accepts it; empty for ``None`` where no word means it."""
    form = form_of(annotation)
    if value is None:
        return form.off[0] if form.off else ""
    return ",".join(map(form.format, value)) if isinstance(value, tuple) else form.format(value)


def is_loopback(host: str) -> bool:
    """Return whether a host, a name or an address without brackets, is this machine and no other."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def form_of(annotation: Any) -> Form:
    """Return the form of an annotated type."""
    return next(each for each in annotation.__metadata__ if isinstance(each, Form))


def _parse_quantity(value: object, units: Mapping[str, float], default: str) -> Any:
    if not isinstance(value, str):
        return value
    found = _QUANTITY.fullmatch(value)
    unit = units.get(found[2] or default) if found else None
    if not found or unit is None:
        raise ValueError
    return float(found[1]) * unit


def _parse_duration(value: object) -> object:
    return _parse_quantity(value, _DURATION_UNITS, "s")


def _format_duration(value: float) -> str:
    for unit in ("d", "h", "m"):
        if value and value % _DURATION_UNITS[unit] == 0:
            return f"{value / _DURATION_UNITS[unit]:.0f}{unit}"
    return f"{abs(value):.9f}".rstrip("0").rstrip(".")  # abs: there is a negative zero


def _parse_size(value: object) -> object:
    return round(_parse_quantity(value.lower(), _SIZE_UNITS, "b")) if isinstance(value, str) else value


def _format_size(value: int) -> str:
    units = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
    return next((f"{value // size} {unit}" for unit, size in units if value % size == 0), str(value))


def _parse_switch(value: object) -> object:
    return _SWITCH.get(value.lower(), value) if isinstance(value, str) else value


def _parse_origin(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _parse_executor(value: object) -> object:
    if value not in EXECUTOR_NAMES:
        raise ValueError
    return value


def _parse_path(value: object) -> object:
    if value == "" or not isinstance(value, str | Path):
        raise ValueError
    try:
        return Path(value).expanduser()
    except RuntimeError:  # an unknown user after the ~
        raise ValueError from None


def _parse_url(value: object) -> object:
    parts = urlsplit(value) if isinstance(value, str) else None  # raises ValueError for half a bracket
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError
    return value


def _parse_network(value: object) -> object:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", value):
        raise ValueError
    network = ip_network(value)
    # The address of an IPv4 peer is never compared in its IPv4-mapped form.
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError
    return network


def _format_network(value: IPv4Network | IPv6Network) -> str:
    return str(value.network_address if value.prefixlen == value.max_prefixlen else value)


_TEXT = Form("a line of text without control characters")
_CHARACTERS = Annotated[str, msgspec.Meta(min_length=1)]
_URL = Form(
    "a URL that begins with http:// or https://", "URL", _parse_url, lambda value: re.sub(r"//[^/]*@", "//***@", value)
)
_PATH = Form("a path", "PATH", _parse_path)
_ON_OFF = Form("on or off", "on|off", _parse_switch, lambda value: "on" if value else "off")
_INTEGER = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
_INTEGER_FORM = Form("a whole number from 1 to 1000000000", "COUNT")
_FLOAT = Annotated[float, msgspec.Meta(ge=0, le=MAX_DURATION)]
_SECONDS = Form("a duration like 30, 1.5, 30s, 5m, 12h or 1d", "DURATION", _parse_duration, _format_duration)

Text = Annotated[_CHARACTERS, _TEXT]
OptionalText = Annotated[_CHARACTERS | None, _TEXT]
Texts = Annotated[tuple[_CHARACTERS, ...], replace(_TEXT, metavar="LIST")]
Host = Annotated[str, msgspec.Meta(pattern=r"^[^\s/]+$"), Form("a host name or an address", "ADDRESS")]
OptionalURL = Annotated[Annotated[str, msgspec.Meta(pattern=r"^\S+$")] | None, _URL]
OptionalPath = Annotated[Path | None, _PATH]
Switch = Annotated[bool, _ON_OFF]
BackendName = Annotated[
    str,
    msgspec.Meta(pattern=r"^(demo|openai|anthropic|[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*)$"),
    Form("demo, openai, anthropic, module:function or module:object.method", "BACKEND"),
]
EXECUTOR_NAMES = ["auto", "greenlet", "thread", "process", "celery"]  # grows with register_executor
ExecutorName = Annotated[str, Form("auto, greenlet, thread, process or celery", "EXECUTOR", _parse_executor)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], Form("debug, info, warning or error", "LEVEL")]
AuthMode = Annotated[Literal["token", "off"], Form("token or off", "token|off")]
HistoryReasoning = Annotated[Literal["off", "summary", "full"], Form("off, summary or full", "off|summary|full")]
OptionalLanguage = Annotated[
    Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,3}$")] | None, Form("a language code such as en", "LANGUAGE")
]
LogFormat = Annotated[Literal["text", "json"], Form("text or json", "text|json")]
OpenAIApi = Annotated[Literal["chat", "responses"], Form("chat or responses", "chat|responses")]
HeartbeatName = Annotated[
    Literal["comment", "delta", "status", "off"], Form("comment, delta, status or off", "comment|delta|status|off")
]
_Symmetric = Literal["HS256", "HS384", "HS512"]
_Public = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
SYMMETRIC_ALGORITHMS: tuple[str, ...] = get_args(_Symmetric)
PUBLIC_ALGORITHMS: tuple[str, ...] = get_args(_Public)
_ALGORITHMS = Form(f"a list of {', '.join((*SYMMETRIC_ALGORITHMS, *PUBLIC_ALGORITHMS))}", "LIST")
Algorithms = Annotated[tuple[Literal[_Symmetric, _Public], ...], _ALGORITHMS]
Origins = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^/?#@\s*]+)$")], ...],
    Form("* alone, or a list of exact origins like https://chat.example.com without a path", "LIST", _parse_origin),
]
_NETWORKS = Form("a list of IP addresses or networks like 10.0.0.0/8 or ::1", "LIST", _parse_network, _format_network)
Networks = Annotated[tuple[Any, ...], _NETWORKS]  # Any: msgspec does not support a union of two classes
OptionalDatabaseURL = Annotated[
    Annotated[str, msgspec.Meta(pattern=r"^(sqlite:///|postgres(ql)?(\+psycopg)?://)")] | None,
    Form("a URL that begins with sqlite:/// or postgresql://", "URL", off=("off", "none")),
]
OptionalRate = Annotated[
    Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$")] | None,
    Form("a rate per second, minute, hour or day, like 60/minute", "RATE", off=("off", "never", "none")),
]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535), Form("a whole number from 0 to 65535", "PORT")]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000), Form("a whole number from 0 to 1000000000", "COUNT")]
PositiveCount = Annotated[_INTEGER, _INTEGER_FORM]
OptionalCount = Annotated[_INTEGER | None, replace(_INTEGER_FORM, off=("off", "none"))]
ThreadCount = Annotated[int, msgspec.Meta(ge=1, le=10_000), Form("a whole number from 1 to 10000", "COUNT")]
_SIZE = Form("a number of bytes above 0, like 1048576 or 1 MiB", "SIZE", _parse_size, _format_size)
Size = Annotated[int, msgspec.Meta(gt=0, lt=2**60), _SIZE]
Duration = Annotated[_FLOAT, _SECONDS]
_POSITIVE_SECONDS = replace(_SECONDS, expects="a duration above 0 like 30, 1.5, 30s, 5m, 12h or 1d")
PositiveDuration = Annotated[float, msgspec.Meta(gt=0, le=MAX_DURATION), _POSITIVE_SECONDS]
OptionalDuration = Annotated[_FLOAT | None, _SECONDS]
DurationOrNever = Annotated[_FLOAT | None, replace(_SECONDS, off=("never", "off", "none"))]
DurationOrOff = Annotated[_FLOAT | None, replace(_SECONDS, off=("off", "never", "none"))]
Interval = Annotated[float, msgspec.Meta(ge=0.1, le=60), replace(_SECONDS, expects="a duration from 0.1 to 60 seconds")]
Pause = Annotated[float, msgspec.Meta(ge=0, le=10), replace(_SECONDS, expects="a duration of at most 10 seconds")]
ChunkSize = Annotated[int, msgspec.Meta(ge=1, le=1000), Form("a whole number from 1 to 1000", "CHARACTERS")]
