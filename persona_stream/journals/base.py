"""Contract of journals: the stores of the facts of runs.

Invariants:
    After a final fact ``append`` changes nothing, so the first final fact wins, regardless of the writer.
    ``entries`` only grows. A fact is visible there once it is stored: at once in memory, shortly after in Redis.
    A journal without a final fact is kept. A finished one is kept for the retention period, unless the memory limit
    evicts it earlier, oldest end first; from then on it is ``Gone`` and never returns.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from persona_stream.core.facts import Accepted, Entry, Fact
from persona_stream.core.forecast import FinishedRun
from persona_stream.core.run_id import timestamp_of
from persona_stream.errors import Gone, HTTPError, NotFound

Listener = Callable[[], None]

RUN_NOT_FOUND_MESSAGE = "Run not found"
RUN_GONE_MESSAGE = "The run is not kept any longer: its retention period has ended, or it was deleted"
KEY_CONFLICT_MESSAGE = "This Idempotency-Key was used for another request: use a new key for a new request"


class IdempotencyKey(Struct, frozen=True):
    """Idempotency key of a request."""

    key: str
    fingerprint: str  # digest of the request
    joins: bool = True  # whether the run that holds the key is returned; if not, a new run takes the key


class Journal(Protocol):
    """Journal of one run."""

    @property
    def entries(self) -> Sequence[Entry]:
        """Facts so far, oldest first; the first is ``Accepted``."""

    @property
    def is_unavailable(self) -> bool:
        """Whether the store is unavailable, so that new facts are not visible yet."""

    def append(self, fact: Fact) -> bool:
        """Append a fact with the current time, without waiting. Return ``False`` if the run is known to have ended."""

    def subscribe(self, listener: Listener) -> None:
        """Register a listener, which is called in the event loop's thread when ``entries`` grew; it must not block."""

    def unsubscribe(self, listener: Listener) -> None:
        """Remove a listener."""

    def has_remote_subscribers(self) -> bool:
        """Return whether other processes follow this journal. May wait; ``True`` if that cannot be determined."""

    def refresh(self) -> None:
        """Load all stored facts, for a caller that knows of later ones; raise ``Unavailable`` if the store is."""


class AnswerStore(Protocol):
    """Store of the answer cache. Methods may wait for the store, and raise ``Unavailable`` if it is."""

    def get(self, key: str) -> bytes | None:
        """Return an answer that has not expired."""

    def put(self, key: str, answer: bytes, seconds: float) -> None:
        """Keep an answer for so many seconds."""

    def claim(self, key: str, run_id: str, seconds: float) -> str | None:
        """Return the run that holds the claim on a key; if there is none, this run does for so many seconds."""

    def release(self, key: str, run_id: str) -> None:
        """Release a claim, if the run holds it."""


class JournalStore(Protocol):
    """Store of the journals of all runs.

    Methods that read or create a journal may wait for the store; they raise ``Unavailable`` within two seconds if it is
    unavailable.
    """

    @property
    def is_shared(self) -> bool:
        """Whether other processes can read the journals and continue when this process stops."""

    @property
    def answers(self) -> AnswerStore:
        """Store of the answer cache, shared like the journals."""

    @property
    def process_count(self) -> int:
        """Number of processes that share the store, including this one, as far as known."""

    def create(self, accepted: Accepted, idempotency_key: IdempotencyKey | None) -> tuple[Journal, bool]:
        """Create a journal, or return the one that holds the idempotency key; and whether it is new.

        Raises:
            Conflict: the key was used for another request.
        """

    def find_by_key(self, owner: str, idempotency_key: IdempotencyKey) -> Journal | None:
        """Return the journal that ``create`` would return instead of a new one, if any. Raises like ``create``."""

    def find(self, run_id: str) -> Journal:
        """Return a journal as of now; raise ``NotFound``, or ``Gone`` if the run is past its retention period."""

    def follow(self, run_id: str) -> Journal:
        """Return a journal that keeps growing. Raises like ``find``."""

    def list_for_owner(self, owner: str, before: str | None, limit: int) -> Sequence[Journal]:
        """Return an owner's journals, newest first; with ``before``, only runs older than that run id."""

    def new_durations(self) -> Sequence[tuple[str, FinishedRun]]:
        """Return the runs of all processes since the last call, each with its backend, in the same order everywhere.

        The newest of each backend, as many as a forecast uses. Empty if the store is not shared.
        """

    def delete(self, journal: Journal) -> None:
        """Delete the journal of a run that has ended: from now on it is ``Gone``. Raises ``Unavailable``."""

    def secret(self) -> str:
        """Return a random secret that all processes of this store share, as long as the store exists."""

    def unavailable_services(self) -> Sequence[str]:
        """Return the names of required services that are unavailable. May wait for at most two seconds."""

    def close(self) -> None:
        """Release the resources of the store."""


def not_found_error(run_id: str, was_evicted: bool, retention: float, now: float) -> HTTPError:
    """Create the error for a run without a journal; its id tells its age."""
    if was_evicted or is_expired(run_id, retention, now):
        return Gone(RUN_GONE_MESSAGE)
    return NotFound(RUN_NOT_FOUND_MESSAGE)


def is_expired(run_id: str, retention: float, now: float) -> bool:
    """Return whether a run is past its retention period according to its id."""
    created_at = timestamp_of(run_id)
    return created_at is not None and created_at + retention < now
