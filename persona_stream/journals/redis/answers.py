"""Answers for the answer cache in Redis, which all processes share."""

from persona_stream.journals.redis import keys, scripts
from persona_stream.journals.redis.connection import RedisConnection


class RedisAnswerStore:
    """Answers and claims by key. Every method raises ``Unavailable`` if Redis is."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def get(self, key: str) -> bytes | None:
        """Return an answer that has not expired."""
        answer: bytes | None = self._connection.execute("GET", keys.answer(key))
        return answer

    def put(self, key: str, answer: bytes, seconds: float) -> None:
        """Keep an answer for so many seconds."""
        self._connection.execute("SET", keys.answer(key), answer, "PX", max(1, int(seconds * 1000)))

    def claim(self, key: str, run_id: str, seconds: float) -> str | None:
        """Return the run that holds the claim on a key; if there is none, this run does for so many seconds."""
        name = keys.question(key)
        if self._connection.execute("SET", name, run_id, "NX", "PX", max(1, int(seconds * 1000))) is not None:
            return None
        holder: bytes | None = self._connection.execute("GET", name)
        return None if holder is None else holder.decode()

    def release(self, key: str, run_id: str) -> None:
        """Release a claim, if the run holds it."""
        self._connection.run_script(scripts.RELEASE, (keys.question(key),), (run_id,))
