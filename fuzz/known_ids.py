"""Make what requests can be aimed at: runs with every ending, and conversations."""

from __future__ import annotations

from fuzz.request_targeting import Known
from persona_stream.core.run_id import new_run_id
from tests.server_process import ServerProcess, token

_QUESTIONS = 24  # so many that every way to answer comes up
_TALKS = ("talk.0", "talk.1", "talk.2")
_LONG_AGO = 1_000_000_000.0
_DAY = 86_400.0


def known(server: ServerProcess, user: str) -> Known:
    """Ask this and that as a user, and give the names of what came of it."""
    runs = [_ask(server, f"Question {number}", _TALKS[number % len(_TALKS)], user) for number in range(_QUESTIONS)]
    foreign = _ask(server, "What is mine?", "foreign", "somebody-else")
    return Known(
        run_id=[*runs, foreign, new_run_id(_LONG_AGO)],
        conversation_id=[*_TALKS, "foreign", "talk.new"],
        name=["main.js", "style.css", "index.html"],
        tokens=[token(user, _DAY, scope=scope) for scope in ("chat admin", "chat")],
    )


def _ask(server: ServerProcess, question: str, talk: str, user: str) -> str:
    body = {"username": "ada", "message": question, "conversation_id": talk, "reasoning": True}
    return server.post("/api/stream_chat_smart", body, user=user).headers["X-Run-Id"]
