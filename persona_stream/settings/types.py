"""The types of settings: what Python holds, and the kind that reads, checks and shows it.

What a setting's value can be: what is allowed, how it is written, and how it is shown.

A kind takes a text (of a flag, of the environment) or a value (of TOML, of code) and gives the value in its
one right type, or raises ``ValueError``. Whoever asked says the sentence, which is "X must be ``expects``".

Kinds of settings that are numbers: counts, sizes, durations.

Kinds of settings that hold another kind: several of it, or perhaps none.

One setting: what it is called in three places, what it can be, and what it means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

from persona_stream.errors import SettingsError

# A newline in an API key breaks the request's header, and one at a secret's end makes every token wrong. Surrogates
# are what Python makes of an environment that is not UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class SettingType(Protocol):
    """Know one sort of value. No method does I/O."""

    @property
    def expects(self) -> str:
        """Say what is allowed, so that it fits after "must be"."""

    def take(self, value: object) -> object:
        """Give the value in its one right type, from its text or from itself.

        Raises:
            ValueError: it is not allowed. The error says nothing of the value, which may be a secret.
        """

    def show(self, value: Any) -> str:
        """Write a taken value so that ``take`` gives it back."""


@dataclass(frozen=True)
class Text:
    """A line of text without control characters."""

    expects: str = "a line of text without control characters"
    pattern: str = ".+"

    def take(self, value: object) -> str:
        match value:
            case str() if not _UNPRINTABLE.search(value) and re.fullmatch(self.pattern, value):
                return value
        raise ValueError

    def show(self, value: str) -> str:
        return value


class Url(Text):
    """An address of the web. A password in it is not shown."""

    def __init__(self) -> None:
        super().__init__(expects="an address that begins with http:// or https://", pattern=r"\S+")

    def take(self, value: object) -> str:
        text = super().take(value)
        try:
            parts = urlsplit(text)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is none, or half a bracket
            good = False
        if not good:
            raise ValueError
        return text

    def show(self, value: str) -> str:
        return re.sub(r"//[^/]*@", "//***@", value)


class Origin(Text):
    """An origin as browsers send it: in small letters, and without a slash at the end."""

    def __init__(self) -> None:
        super().__init__(
            expects="* alone, or a list of exact origins like https://chat.example.com without a path",
            pattern=r"\*|null|[a-z][a-z0-9+.-]*://[^/?#@\s*]+",
        )

    def take(self, value: object) -> str:
        return super().take(value.lower() if isinstance(value, str) else value)


@dataclass(frozen=True)
class Network:
    """An IP address, which is a network of one, or a network. One with bits beside its mask is a slip, and refused."""

    expects: str = "a list of IP addresses or networks like 10.0.0.0/8 or ::1"

    def take(self, value: object) -> IPv4Network | IPv6Network:
        match value:
            case IPv4Network() | IPv6Network():
                return value
            case str() if re.fullmatch(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", value):
                try:
                    network = ip_network(value)
                except ValueError:
                    raise ValueError from None
                # IPv4 in IPv6's clothes: such peers count as what they are, and would never be found in it.
                if network.version == 4 or network.network_address.ipv4_mapped is None:
                    return network
        raise ValueError

    def show(self, value: IPv4Network | IPv6Network) -> str:
        return str(value.network_address if value.prefixlen == value.max_prefixlen else value)


class Backend(Text):
    """A backend that ships, or the name of a function."""

    def __init__(self) -> None:
        name = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
        super().__init__(
            expects="demo, openai, anthropic, module:function or module:object.method",
            pattern=rf"demo|openai|anthropic|{name}:{name}",
        )


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def expects(self) -> str:
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}"

    def take(self, value: object) -> str:
        match value:
            case str() if value in self.words:
                return value
        raise ValueError

    def show(self, value: str) -> str:
        return value


@dataclass(frozen=True)
class Switch:
    """On or off."""

    expects: str = "on or off"

    def take(self, value: object) -> bool:
        match value.lower() if isinstance(value, str) else value:
            case True | "on" | "true" | "yes" | "1":
                return True
            case False | "off" | "false" | "no" | "0":
                return False
        raise ValueError

    def show(self, value: bool) -> str:
        return "on" if value else "off"


@dataclass(frozen=True)
class Place:
    """A file or a folder. ``~`` is the home folder."""

    expects: str = "a path"

    def take(self, value: object) -> Path:
        text = str(value) if isinstance(value, Path) else Text().take(value)
        try:
            return Path(text).expanduser()
        except RuntimeError:  # whose home it is cannot be told
            raise ValueError from None

    def show(self, value: Path) -> str:
        return str(value)


@dataclass(frozen=True)
class Items:
    """Several of a kind: separated by commas in a text, a list in TOML. An empty text is none at all."""

    kind: SettingType

    @property
    def expects(self) -> str:
        return self.kind.expects

    def take(self, value: object) -> tuple[object, ...]:
        match value:
            case str():
                parts: list[object] = [item.strip() for item in value.split(",")] if value.strip() else []
            case list() | tuple():
                parts = list(value)
            case _:
                raise ValueError
        items = tuple(self.kind.take(part) for part in parts)
        if "*" in items and len(items) > 1:
            raise ValueError
        return items

    def show(self, value: tuple[object, ...]) -> str:
        return ",".join(self.kind.show(item) for item in value)


@dataclass(frozen=True)
class Maybe:
    """A kind, or nothing: an empty text, one of ``words``, TOML's ``false``, Python's ``None``."""

    kind: SettingType
    words: tuple[str, ...] = ()

    @property
    def expects(self) -> str:
        return f"{self.kind.expects}, or {self.words[0]}" if self.words else self.kind.expects

    def take(self, value: object) -> object:
        if value is None or value is False or value == "" or (isinstance(value, str) and value.lower() in self.words):
            return None
        return self.kind.take(value)

    def show(self, value: Any) -> str:
        if value is None:
            return self.words[0] if self.words else ""
        return self.kind.show(value)


_LONGEST = 36_500 * 86_400
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?(ms|s|m|h|d)?", re.ASCII)
_SIZES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([kmg]?b|[kmg]ib)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Count:
    """A whole number within bounds, both included."""

    least: int = 0
    most: int = 1_000_000_000

    @property
    def expects(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def take(self, value: object) -> int:
        match value:
            case str() if re.fullmatch(r"\d{1,18}", value, re.ASCII):
                return self.take(int(value))
            case int() if not isinstance(value, bool) and self.least <= value <= self.most:
                return value
        raise ValueError

    def show(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True)
class Size:
    """A number of bytes above zero: ``1048576``, ``1MiB``, ``1.5 GB``."""

    expects: str = "a number of bytes above 0, like 1048576 or 1 MiB"

    def take(self, value: object) -> int:
        match value:
            case str() if found := _SIZE.fullmatch(value):
                return self.take(round(float(found[1]) * _SIZES[(found[2] or "b").lower()]))
            case int() if not isinstance(value, bool) and 0 < value < 2**60:
                return value
        raise ValueError

    def show(self, value: int) -> str:
        for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
            if value % size == 0:
                return f"{value // size} {unit}"
        return str(value)


@dataclass(frozen=True)
class Seconds:
    """A duration: ``30``, ``1.5``, ``30s``, ``5m``, ``12h``, ``1d``, at most 100 years."""

    above_zero: bool = False

    @property
    def expects(self) -> str:
        return f"a duration{' above 0' if self.above_zero else ''} like 30, 1.5, 30s, 5m, 12h or 1d"

    def take(self, value: object) -> float:
        match value:
            case str() if found := _DURATION.fullmatch(value):
                return self.take(float(found[1]) * _UNITS[found[2] or "s"])
            case int() | float() if not isinstance(value, bool) and 0 <= value <= _LONGEST:
                if value or not self.above_zero:
                    return abs(float(value))  # there is a zero below zero, which would be shown as -0
        raise ValueError

    def show(self, value: float) -> str:
        for unit in ("d", "h", "m"):
            if value and value % _UNITS[unit] == 0:
                return f"{value / _UNITS[unit]:.0f}{unit}"
        return f"{value:.9f}".rstrip("0").rstrip(".")


SYMMETRIC_ALGORITHMS = ("HS256", "HS384", "HS512")
PUBLIC_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

Line = Annotated[str, Text()]
MaybeLine = Annotated[str | None, Maybe(Text())]
Lines = Annotated[tuple[str, ...], Items(Text())]
_RATE = r"[1-9]\d{0,8}/(second|minute|hour|day)"
Rate = Annotated[
    str | None,
    Maybe(Text("a rate like 60/minute, by the second, minute, hour or day", _RATE), ("off", "never", "none")),
]
MaybeUrl = Annotated[str | None, Maybe(Url())]
Origins = Annotated[tuple[str, ...], Items(Origin())]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], Items(Network())]
MaybePath = Annotated[Path | None, Maybe(Place())]
OnOff = Annotated[bool, Switch()]

MaybeDatabase = Annotated[
    str | None,
    Maybe(
        Text("an address that begins with sqlite:/// or postgresql://", r"(sqlite:///|postgres(ql)?(\+psycopg)?://).*"),
        ("off", "none"),
    ),
]
Host = Annotated[str, Text("a host name or an address", r"[^\s/]+")]
Port = Annotated[int, Count(0, 65535)]
BackendName = Annotated[str, Backend()]
Executor = Annotated[str, Choice(("greenlet", "thread", "process", "auto"))]
LogLevel = Annotated[str, Choice(("debug", "info", "warning", "error"))]
LogFormat = Annotated[str, Choice(("text", "json"))]
Algorithms = Annotated[tuple[str, ...], Items(Choice((*SYMMETRIC_ALGORITHMS, *PUBLIC_ALGORITHMS)))]

Number = Annotated[int, Count(0)]
Positive = Annotated[int, Count(1)]
PositiveOrOff = Annotated[int | None, Maybe(Count(1), ("off", "none"))]
Threads = Annotated[int, Count(1, 10_000)]
Bytes = Annotated[int, Size()]
Duration = Annotated[float, Seconds()]
Deadline = Annotated[float, Seconds(above_zero=True)]
MaybeDuration = Annotated[float | None, Maybe(Seconds())]
DurationOrNever = Annotated[float | None, Maybe(Seconds(), ("never", "off", "none"))]
DurationOrOff = Annotated[float | None, Maybe(Seconds(), ("off", "never", "none"))]


@dataclass(frozen=True)
class Help:
    """Say about a setting what its type does not.

    Attributes:
        meaning: what it does, in one line.
        secret: whether its value must not be shown.
        unset: what an unset value comes to, where that is not plain from it.
    """

    text: str
    secret: bool = False
    default_text: str = ""


@dataclass(frozen=True)
class Setting:
    """Know a setting: its name (as in TOML, and as the attribute of ``Settings``), its default, its kind."""

    name: str
    default: object
    kind: SettingType
    about: Help

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "PERSONA_STREAM_" + self.name.upper()

    def take(self, value: object, where: str) -> object:
        """Give the value in its right type.

        Args:
            value: a text, or a value of TOML or of code.
            where: what the user calls the place where it stood.

        Raises:
            SettingsError: it is wrong; the sentence names ``where``.
        """
        try:
            return self.kind.take(value)
        except ValueError:
            raise SettingsError(f"{where} must be {self.kind.expects}{self._but_is(value)}") from None

    def show(self, value: object) -> str:
        """Write a value for people; of a secret, only that it is there."""
        if self.about.secret and value not in (None, self.default):
            return "(set, not shown)"
        return self.kind.show(value) or self.about.default_text or "none"

    def _but_is(self, value: object) -> str:
        text = str(value)
        # An address may hold a password, also one that stands in the wrong place.
        if self.about.secret or "@" in text or not text.isprintable():
            return ""
        return f', not "{text[:60]}{"…" if len(text) > 60 else ""}"'
