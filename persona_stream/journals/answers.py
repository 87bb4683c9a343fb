"""Answers for the answer cache, in the memory of this process."""

from collections import OrderedDict

from persona_stream.core.clock import Clock

MAX_CACHED_BYTES = 64 * 2**20
ANSWER_OVERHEAD_BYTES = 320  # approximate size of an answer in memory, beside its bytes


class MemoryAnswerStore:
    """Answers and claims by key; the least recently used answers are dropped beyond ``max_bytes``."""

    def __init__(self, clock: Clock, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._bytes = 0
        self._answers: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._claims: dict[str, tuple[str, float]] = {}

    def get(self, key: str) -> bytes | None:
        """Return an answer that has not expired."""
        answer, until = self._answers.get(key, (b"", 0.0))
        if until <= self._clock():
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        return answer

    def put(self, key: str, answer: bytes, seconds: float) -> None:
        """Keep an answer for so many seconds."""
        self._drop(key)
        self._answers[key] = answer, self._clock() + seconds
        self._bytes += len(answer) + ANSWER_OVERHEAD_BYTES
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._answers)))

    def claim(self, key: str, run_id: str, seconds: float) -> str | None:
        """Return the run that holds the claim on a key; if there is none, this run does for so many seconds."""
        holder, until = self._claims.get(key, ("", 0.0))
        if until > self._clock():
            return holder
        self._claims[key] = run_id, self._clock() + seconds
        return None

    def release(self, key: str, run_id: str) -> None:
        """Release a claim, if the run holds it."""
        if self._claims.get(key, ("", 0.0))[0] == run_id:
            del self._claims[key]

    def _drop(self, key: str) -> None:
        if key in self._answers:
            answer, _ = self._answers.pop(key)
            self._bytes -= len(answer) + ANSWER_OVERHEAD_BYTES
