"""The types of settings: what Python holds, and the kind that reads, checks and shows it."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from persona_stream.settings.containers import Items, Maybe
from persona_stream.settings.kinds import Backend, Choice, Network, Origin, Place, Switch, Text, Url
from persona_stream.settings.measures import Count, Seconds, Size

_SYMMETRIC = ("HS256", "HS384", "HS512")
_PUBLIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

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
Algorithms = Annotated[tuple[str, ...], Items(Choice((*_SYMMETRIC, *_PUBLIC)))]

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
