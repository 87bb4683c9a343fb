"""Answer cache: the same question gives the same answer for a while, without a slot and without the backend.

Invariants:
    The key contains everything that an answer depends on. A question that continues a conversation, or must not be
    stored, has no key.
    Only complete answers without tool calls are kept: no failures, none that a limit cut short, and none of a backend
    that asked the user.
    An unavailable store is an empty one.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from persona_stream.core import facts
from persona_stream.core.snapshot import take_snapshot
from persona_stream.errors import Unavailable
from persona_stream.executors.worker.protocol import encode_hook
from persona_stream.journals.base import AnswerStore
from persona_stream.runs.base import RunRequest


class CachedAnswer(msgspec.Struct, frozen=True):
    """Answer of an earlier run."""

    reasoning: str
    answered: facts.Answered

    def final_facts(self) -> Sequence[facts.ReasoningDelta | facts.Answered]:
        """Return the facts that end a run with this answer."""
        return (facts.ReasoningDelta(self.reasoning), self.answered) if self.reasoning else (self.answered,)


_decode = msgspec.msgpack.Decoder(CachedAnswer).decode


class AnswerCache:
    """Cache of answers for ``lifetime`` seconds; for each owner unless ``is_shared``."""

    def __init__(self, store: AnswerStore, lifetime: float, *, is_shared: bool) -> None:
        self._store = store
        self._lifetime = lifetime
        self._is_shared = is_shared

    def key_of(self, request: RunRequest) -> str | None:
        """Return the key of a question, or ``None`` if its answer depends on more than the question."""
        query = request.query
        has_history = query.tool_turns or any(turn.role != "system" for turn in query.history)
        if request.continues_conversation or has_history or not request.is_logged:
            return None
        question = {
            "owner": "" if self._is_shared else query.principal.subject,
            "backend": request.backend.name,
            "username": query.username,
            "persona": query.persona,
            "prompt": query.prompt,
            "mode": query.prompt_mode,
            "message": query.message,
            "parts": query.parts,
            "system": query.history,
            "locale": query.locale,
            "parameters": query.parameters,
            "tools": (query.tools, query.tool_choice),
        }
        builtins = msgspec.to_builtins(question, enc_hook=encode_hook)
        return hashlib.sha256(msgspec.json.encode(builtins, order="sorted")).hexdigest()

    def find(self, key: str) -> CachedAnswer | None:
        """Return the answer to a question, if there is one."""
        try:
            found = self._store.get(key)
        except Unavailable:
            return None
        return None if found is None else _decode(found)

    def claim(self, key: str, run_id: str, seconds: float) -> str | None:
        """Return the run that answers this question now; if there is none, this one does for at most ``seconds``."""
        try:
            return self._store.claim(key, run_id, seconds)
        except Unavailable:
            return None

    def take_over(self, key: str, holder: str, run_id: str, seconds: float) -> str | None:
        """Claim a question whose claim a run without an answer still holds; otherwise as ``claim``."""
        try:
            self._store.release(key, holder)
        except Unavailable:
            return None
        return self.claim(key, run_id, seconds)

    def finish(self, key: str, entries: Sequence[facts.Entry]) -> None:
        """Keep the answer of a run that has ended, and release its claim."""
        answer = answer_of(entries)
        try:
            if answer is not None and not is_cached(entries):
                self._store.put(key, msgspec.msgpack.encode(answer), self._lifetime)
            self._store.release(key, facts.run_terms(entries).run_id)
        except Unavailable:
            return  # claims expire


def answer_of(entries: Sequence[facts.Entry]) -> CachedAnswer | None:
    """Return the answer of a run for later runs, or ``None`` if it is not one that may be repeated."""
    ending = entries[-1].fact
    if not isinstance(ending, facts.Answered) or ending.finish != "stop" or ending.calls or facts.has_asked(entries):
        return None
    snapshot = take_snapshot(entries)
    return CachedAnswer(snapshot.reasoning, msgspec.structs.replace(ending, text=snapshot.text, cached=True))


def is_cached(entries: Sequence[facts.Entry]) -> bool:
    """Return whether a run has ended with the answer of another one."""
    return isinstance(ending := entries[-1].fact, facts.Answered) and ending.cached
