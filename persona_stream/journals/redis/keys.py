"""Names of keys and channels in Redis; the scripts in ``lua/`` use the same ones.

    persona_stream:{<run>}:facts       stream: entry ``0-<n>`` is fact n of the journal
    persona_stream:{<run>}:record      hash: the process that runs it, its idempotency key and fingerprint, its size,
                                       and its start until its duration is recorded
    persona_stream:{<run>}:gone        tombstone of a run that was evicted before its retention ended
    persona_stream:{<run>}:news        channel: each new fact
    persona_stream:owner:<digest>      sorted set: run ids of an owner, which sort by time
    persona_stream:claim:<digest>      hash: the run that holds an idempotency key, and the request's fingerprint
    persona_stream:processes           sorted set: the time of the last heartbeat of each process
    persona_stream:suspects            sorted set: the time when a process was first found silent
    persona_stream:offered             sorted set: runs that no worker has taken yet, by the time when they fail
    persona_stream:workers             hash: the description of each worker
    persona_stream:pulse               the time of the last heartbeat of any process
    persona_stream:process:<id>:runs   set: the runs that a process executes
    persona_stream:process:<id>        channel: facts that other processes appended to its runs, and calls to providers
    persona_stream:secret              secret that signs run URLs, where no secret is configured
    persona_stream:durations           hash: the id of the newest entry of each backend's history
    persona_stream:durations:<backend> stream: the durations of the backend's last 200 runs, for forecasts
    persona_stream:answer:<digest>     the cached answer to a question
    persona_stream:question:<digest>   the run that answers a question which may be cached
    persona_stream:ended               sorted set: finished runs and their sizes, by the time of their end

The keys of a run have the run id as their hash tag.
"""

import hashlib
from typing import Literal

_PREFIX = "persona_stream:"
CALL = b"call"  # in a message to a process, in place of a fact's number: a call to a provider follows
SECRET = f"{_PREFIX}secret"
PROCESSES = f"{_PREFIX}processes"
WORKERS = f"{_PREFIX}workers"
OFFERED = f"{_PREFIX}offered"
DURATIONS = f"{_PREFIX}durations"


def facts(run_id: str) -> str:
    """Return the key of a run's stream of facts."""
    return of_run(run_id, "facts")


def of_run(run_id: str, kind: Literal["facts", "record", "gone", "news"]) -> str:
    """Return a key, or the channel, of a run."""
    return f"{_PREFIX}{{{run_id}}}:{kind}"


def inbox(process: str) -> str:
    """Return the channel of a process."""
    return f"{_PREFIX}process:{process}"


def runs(process: str) -> str:
    """Return the key of the set of a process's runs."""
    return f"{_PREFIX}process:{process}:runs"


def answer(key: str) -> str:
    """Return the key of a cached answer."""
    return f"{_PREFIX}answer:{key}"


def question(key: str) -> str:
    """Return the key of the run that answers a question."""
    return f"{_PREFIX}question:{key}"


def durations(backend: str) -> str:
    """Return the key of the history of a backend."""
    return f"{DURATIONS}:{backend}"


def owner(subject: str) -> str:
    """Return the key of the set of an owner's runs."""
    return f"{_PREFIX}owner:{_digest(subject)}"


def claim(subject: str, key: str) -> str:
    """Return the key of an owner's idempotency key."""
    return f"{_PREFIX}claim:{_digest(subject, key)}"


def _digest(*words: str) -> str:
    # Clients choose these texts, which may have any length and any characters.
    text = "\0".join(words)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
