"""The scripts that Redis runs for us: each is one step that nobody can come between.

What we ask of Redis, with what it needs to know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files

import msgspec
from msgspec import Struct

from persona_stream.core.facts import Failed, run_terms
from persona_stream.core.run_id import min_run_id_at
from persona_stream.journals.redis import keys
from persona_stream.journals.redis.journal import RedisJournal


class Script(Struct, frozen=True):
    """Hold a script, and the digest under which Redis knows it once it has seen it."""

    text: str
    digest: str


def _load(name: str) -> Script:
    folder = files(__package__) / "lua"
    text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("common", name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())  # Redis asks for it


BEGIN = _load("begin")
APPEND = _load("append")
RENEW = _load("renew")
LEAVE = _load("leave")

Call = tuple[Sequence[str], Sequence[str | bytes | int]]
"""The keys and the arguments of a script."""

_LOST = msgspec.json.encode(Failed("lost"))
_MARGIN = 60.0  # seconds


class Commands(Struct, frozen=True):
    """Know what is the same in every call.

    Attributes:
        process: the name of this process.
        lease: seconds after which it counts as dead, when nothing is heard of it.
        retention, retention_bytes: how long, and how much of, ended runs are kept.
    """

    process: str
    lease: float
    retention: float
    retention_bytes: int

    def begin(self, journal: RedisJournal, *, joins: bool) -> Call:
        """Begin a journal, or bring back what Redis has lost of it."""
        accepted, claim = run_terms(journal.entries), journal.claim
        # Redis keeps a run without an ending until somebody writes it; this is for when nobody is left to do so.
        lifetime = accepted.deadline + 2 * self.retention + _MARGIN
        return (
            (
                keys.facts(journal.run_id),
                keys.record(journal.run_id),
                keys.owner(accepted.owner),
                keys.claim(accepted.owner, claim.key) if claim else "",
            ),
            (
                journal.run_id,
                self.process,
                claim.fingerprint if claim else "",
                "1" if joins else "",
                _milliseconds(lifetime),
                min_run_id_at(journal.entries[0].at - lifetime),
                *journal.committed,
            ),
        )

    def append(self, journal: RedisJournal) -> Call:
        """Write what a journal offers."""
        return (
            (keys.facts(journal.run_id), keys.record(journal.run_id)),
            (
                journal.run_id,
                self.process,
                len(journal.entries),
                "1" if journal.is_ending else "",
                _milliseconds(self.retention),
                self.retention_bytes,
                *journal.pending,
            ),
        )

    def renew(self) -> Call:
        """Renew the lease, and end the runs of the dead."""
        return (), (
            self.process,
            _milliseconds(self.renewal),
            _LOST,
            _milliseconds(self.retention),
            self.retention_bytes,
        )

    def leave(self) -> Call:
        """Give the lease back."""
        return (), (self.process,)

    @property
    def renewal(self) -> float:
        """Give the seconds between renewals.

        One that misses its renewal is suspected at the next look of another, and dead at the one after it: each comes
        within the time between two renewals, and so all of it within a lease.
        """
        return self.lease / 3


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
