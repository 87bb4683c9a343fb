"""Lua scripts that Redis executes atomically, and the keys and arguments of their calls."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Protocol

import msgspec

from persona_stream.core.facts import AnswerDelta, Answered, Entry, Failed, ReasoningDelta, run_terms
from persona_stream.core.run_id import min_run_id_at
from persona_stream.journals.base import IdempotencyKey
from persona_stream.journals.redis import keys

LONG_TEXT_CHARACTERS = 4096
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder(Entry).decode


def encode_entry(entry: Entry) -> bytes:
    """Encode a fact as one line of JSON; a long text follows it as it is.

    JSON escapes and scans each character, which would block the event loop for tens of milliseconds with a long answer.
    """
    match entry.fact:
        case AnswerDelta(text=text) | ReasoningDelta(text=text) | Answered(text=text) if (
            len(text) > LONG_TEXT_CHARACTERS
        ):
            line = _encode_json(Entry(entry.at, msgspec.structs.replace(entry.fact, text="")))
            return b"".join((line, b"\n", text.encode()))
        case _:
            return _encode_json(entry)


def decode_entry(encoded: bytes) -> Entry:
    """Decode a fact; raise ``ValueError`` if another application has written it."""
    line, _, text = encoded.partition(b"\n")
    entry = _decode_json(line)
    match entry.fact:
        case AnswerDelta() | ReasoningDelta() | Answered() if text:
            return Entry(entry.at, msgspec.structs.replace(entry.fact, text=text.decode()))
        case _:
            return entry


class Script(msgspec.Struct, frozen=True):
    """Lua script with its SHA-1 digest, by which Redis knows a loaded script."""

    text: str
    digest: str


def _load(name: str) -> Script:
    folder = files(__package__) / "lua"
    text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("common", name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


BEGIN = _load("begin")
APPEND = _load("append")
RENEW = _load("renew")
LEAVE = _load("leave")

HAND_OVER = _load("hand_over")
TAKE = _load("take")
DELETE = _load("delete")
RELEASE = _load("release")

Call = tuple[Sequence[str], Sequence[str | bytes | int]]
"""Keys and arguments of a script."""

_LOST = msgspec.json.encode(Failed("lost"))
_TIMEOUT = msgspec.json.encode(Failed("timeout"))
_LIFETIME_MARGIN = 60.0  # seconds


class JournalState(Protocol):
    """State of a journal that the scripts need."""

    run_id: str

    @property
    def entries(self) -> Sequence[Entry]:
        """Facts that Redis is known to have stored."""

    @property
    def pending(self) -> Sequence[bytes]:
        """Facts that Redis is not known to have stored, encoded."""

    @property
    def is_ending(self) -> bool:
        """Whether a final fact is stored or pending."""

    @property
    def idempotency_key(self) -> IdempotencyKey | None:
        """Idempotency key of the run."""


class ScriptCalls(msgspec.Struct, frozen=True):
    """Builder of script calls."""

    process: str
    lease: float  # seconds after which a silent process is considered dead
    retention: float  # seconds for which finished runs are kept
    retention_bytes: int  # total size of finished runs that are kept

    def begin(self, journal: JournalState, *, joins: bool) -> Call:
        """Build the call that creates a journal, or restores what Redis has lost of it."""
        accepted = run_terms(journal.entries)
        key = journal.idempotency_key
        claim = keys.claim(accepted.owner, key.key) if key else ""
        # An unfinished run is ended by its process or, after the lease, by another; this limit applies without either.
        lifetime = accepted.deadline + 2 * self.retention + _LIFETIME_MARGIN
        limits = (_milliseconds(lifetime), min_run_id_at(journal.entries[0].at - lifetime))
        fingerprint = key.fingerprint if key else ""
        committed = map(encode_entry, journal.entries)
        return (
            (*_keys_of_run(journal.run_id), keys.owner(accepted.owner), claim),
            (journal.run_id, self.process, fingerprint, "1" if joins else "", *limits, *committed),
        )

    def append(self, journal: JournalState) -> Call:
        """Build the call that writes the pending facts of a journal."""
        return self.append_to(journal.run_id, len(journal.entries), journal.pending, is_ending=journal.is_ending)

    def append_to(self, run_id: str, known: int, pending: Sequence[bytes], *, is_ending: bool) -> Call:
        """Build the call that writes facts after the ``known`` first ones."""
        ends = "1" if is_ending else ""
        return _keys_of_run(run_id), (run_id, self.process, known, ends, *self._retention(), *pending)

    def hand_over(self, run_id: str, seconds: float) -> Call:
        """Build the call that offers a run of this process to the workers; it fails unless one takes it in time."""
        return _keys_of_run(run_id), (run_id, self.process, _milliseconds(seconds))

    def take(self, run_id: str, attempt: str, started: bytes) -> Call:
        """Build the call that takes a run that is offered, and writes its fact ``Started`` unless that is empty.

        A call with the same ``attempt`` has the same result, so that it can be repeated when a reply was lost.
        """
        return _keys_of_run(run_id), (run_id, self.process, attempt, started)

    def delete(self, run_id: str, owner: str) -> Call:
        """Build the call that deletes a run that has ended."""
        return (*_keys_of_run(run_id), keys.owner(owner)), (run_id, _milliseconds(self.retention))

    def renew(self) -> Call:
        """Build the call that renews the lease, and ends the runs of dead processes and those that no worker took."""
        return (), (self.process, _milliseconds(self.renewal_interval), _LOST, *self._retention(), _TIMEOUT)

    def leave(self) -> Call:
        """Build the call that returns the lease."""
        return (), (self.process,)

    @property
    def renewal_interval(self) -> float:
        """Seconds between two renewals.

        A process that misses a renewal is suspected at the next renewal of another process, and considered dead at the
        one after that: three intervals at most, and so within a lease.
        """
        return self.lease / 3

    def _retention(self) -> tuple[int, int]:
        return _milliseconds(self.retention), self.retention_bytes


def _keys_of_run(run_id: str) -> tuple[str, str]:
    return keys.facts(run_id), keys.of_run(run_id, "record")


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
