"""What a setting's value can be: what is allowed, how it is written, and how it is shown.

A kind takes a text (of a flag, of the environment) or a value (of TOML, of code) and gives the value in its
one right type, or raises ``ValueError``. Whoever asked says the sentence, which is "X must be ``expects``".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

# A newline in an API key breaks the request's header, and one at a secret's end makes every token wrong. Surrogates
# are what Python makes of an environment that is not UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Kind(Protocol):
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
