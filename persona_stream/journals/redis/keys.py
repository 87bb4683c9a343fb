"""The names of what we keep in Redis. The scripts in ``lua/`` use the same ones.

    persona_stream:{<run>}:facts       stream: entry ``0-<n>`` is fact n of the journal
    persona_stream:{<run>}:record      hash: the process that runs it, its claim and fingerprint, its size
    persona_stream:{<run>}:gone        its tombstone, when it was trimmed before its time
    persona_stream:{<run>}:news        channel: each new fact
    persona_stream:owner:<digest>      sorted set: an owner's runs, by name, which sorts by time
    persona_stream:claim:<digest>      hash: the run that holds an idempotency key, and for what request
    persona_stream:processes           sorted set: the moment when each process was last heard
    persona_stream:suspects            sorted set: the moment when a process was first found silent
    persona_stream:pulse               the moment when any process was last heard
    persona_stream:process:<id>:runs   set: the runs that a process runs
    persona_stream:process:<id>        channel: what others wrote into its runs
    persona_stream:secret              what signs tickets, where no secret is configured for tokens
    persona_stream:ended               sorted set: ended runs and their sizes, by the moment of their ending

All that belongs to one run has the run as its hash tag.
"""

from __future__ import annotations

import hashlib

_PREFIX = "persona_stream:"
SECRET = f"{_PREFIX}secret"


def facts(run_id: str) -> str:
    """Name the stream of a run's facts."""
    return f"{_PREFIX}{{{run_id}}}:facts"


def record(run_id: str) -> str:
    """Name a run's record."""
    return f"{_PREFIX}{{{run_id}}}:record"


def gone(run_id: str) -> str:
    """Name a run's tombstone."""
    return f"{_PREFIX}{{{run_id}}}:gone"


def news(run_id: str) -> str:
    """Name the channel of a run's news."""
    return f"{_PREFIX}{{{run_id}}}:news"


def inbox(process: str) -> str:
    """Name the channel where a process hears what others wrote into its runs."""
    return f"{_PREFIX}process:{process}"


def runs(process: str) -> str:
    """Name the set of the runs that a process runs."""
    return f"{_PREFIX}process:{process}:runs"


def owner(subject: str) -> str:
    """Name the set of an owner's runs."""
    return f"{_PREFIX}owner:{_digest(subject)}"


def claim(subject: str, key: str) -> str:
    """Name what an idempotency key of an owner's holds."""
    return f"{_PREFIX}claim:{_digest(subject, key)}"


def _digest(*words: str) -> str:
    # Strangers chose these words: of any length, and with any character in them.
    text = "\0".join(words)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
