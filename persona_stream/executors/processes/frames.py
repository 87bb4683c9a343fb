"""What server and worker say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from persona_stream.core.query import Answer, Upstream


class Hello(Struct, frozen=True):
    """To a worker, first: what it needs to begin.

    Attributes:
        make: the pickle of a function that makes the backends, and gives them by name.
        paths: where Python looks for modules.
        log_level: from which level on it shall log.
        limit: how many bytes an answer may have.
    """

    make: bytes
    paths: tuple[str, ...]
    log_level: int
    limit: int


class Ask(Struct, frozen=True):
    """To a worker: answer this. ``number`` is the query's among those of this worker."""

    number: int
    backend: str
    run_id: str
    query: Mapping[str, Any]


class Cancel(Struct, frozen=True):
    """To a worker: nobody waits for this any more."""

    number: int


class Ready(Struct, frozen=True):
    """From a worker: it can be asked."""


class Unready(Struct, frozen=True):
    """From a worker, and its last: why it cannot be asked."""

    reason: str


class Text(Struct, frozen=True):
    """A part of the answer."""

    text: str


class Reasoning(Struct, frozen=True):
    """A part of what the model thinks."""

    text: str


class Report(Struct, frozen=True):
    """How far it is."""

    message: str
    fraction: float | None


class Told(Struct, frozen=True):
    """From a worker: what a query has told meanwhile, in order."""

    number: int
    what: tuple[Text | Reasoning | Report | Upstream, ...]


class Logged(Struct, frozen=True):
    """From a worker: a line for the log."""

    logger: str
    level: int
    message: str
    created: float
    run_id: str


class Gave(Struct, frozen=True):
    """From a worker: what process_query returned."""

    answer: str | Answer


class TooLarge(Struct, frozen=True):
    """From a worker: the answer is over the limit, and not sent."""


class GaveUp(Struct, frozen=True):
    """From a worker: process_query raised a ``BackendError``, or a ``BackendUnavailable``."""

    text: str
    unavailable: bool


class Broke(Struct, frozen=True):
    """From a worker: what else went wrong, in words for the log. ``for_good`` says not to ask it again."""

    words: str
    for_good: bool = False


Outcome = Gave | TooLarge | GaveUp | Broke
