"""Factories of records and rows for tests of the database.

``python -m tests.db.factories FILE [COUNT]`` creates a log that looks like a month of a busy server. The same count
gives the same runs, except for the time of the last one.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from persona_stream.backends.base import Backend
from persona_stream.core.facts import Accepted, Answered, Entry, ProgressReported, ReasoningDelta, Started
from persona_stream.core.query import Principal, Query
from persona_stream.core.run_id import min_run_id_at, new_run_id
from persona_stream.db.base import ExchangeCompleted, Record, RunAccepted, RunDelivered, RunFinished, RunResponded
from persona_stream.db.engine import database_url, ensure_schema, open_engine
from persona_stream.db.tables import run_texts, runs
from persona_stream.runs.base import RequestInfo, ResponseSent, RunRequest, SubscriptionClosed

BEGAN = 1_790_000_000.0


def query(message: str = "What?", owner: str = "alice", conversation: str = "c-1", **more: Any) -> Query:
    """Create a query."""
    principal = Principal(owner)
    return Query(username="ada", message=message, conversation_id=conversation, principal=principal, **more)


def run_request(asked: Query) -> RunRequest:
    """Create the request for a run of a query."""
    origin = RequestInfo(
        endpoint="/api/stream_chat_smart",
        method="POST",
        address="192.0.2.7",
        user_agent="curl",
        headers=(("Host", "x"), ("Authorization", "***")),
        body=b'{"message":"What?"}',
    )
    return RunRequest(asked, Backend("demo", lambda query: ""), "smart", "words", request_info=origin)


def entries(asked: Query, *facts: tuple[float, Any], at: float = BEGAN, run_id: str | None = None) -> list[Entry]:
    """Create the journal of a run from facts with their seconds."""
    accepted = Accepted(
        run_id=run_id or new_run_id(at),
        owner=asked.principal.subject,
        username=asked.username,
        conversation_id=asked.conversation_id,
        style="smart",
        chunking="words",
        locale="en",
        reasoning=False,
        deadline=150.0,
        resume_for=900.0,
        question_tokens=7,
    )
    return [Entry(at, accepted), *(Entry(at + after, fact) for after, fact in facts)]


def run_id_of(run: list[Entry]) -> str:
    """Return the id of a run."""
    return run[0].fact.run_id


def subscription(at: float = BEGAN, **more: Any) -> SubscriptionClosed:
    """Create a closed subscription that got the whole run."""
    values: dict[str, Any] = {
        "protocol": "native", "resumed": False, "began_at": at, "first_event_at": at + 0.1, "first_text_at": at + 5.5,
        "last_at": at + 9.5, "events": 10, "chunks": 4, "sent_bytes": 1000, "is_whole": True,
    }  # fmt: skip
    return SubscriptionClosed(**values | more)


ANSWERED = (
    (0.5, Started()),
    (1.0, ProgressReported("Reading", 0.4)),
    (5.0, ReasoningDelta("Hm.")),
    (5.0, Answered("It is so.")),
)


def records(run: list[Entry], asked: Query, at: float = BEGAN) -> list[Record]:
    """Return all records of a run with one subscription, and its exchange."""
    return [
        RunAccepted(run[0], run_request(asked)),
        RunResponded(run_id_of(run), ResponseSent(200, (("Content-Type", "text/event-stream"),))),
        RunFinished(run, (), None),
        ExchangeCompleted(asked, run),
        RunDelivered(run_id_of(run), subscription(at)),
    ]


MONTH = 30 * 86_400.0  # seconds
_ENDPOINTS = (
    ("/api/stream_chat_smart", "native", "smart", 46),
    ("/api/stream_chat_advanced", "native", "advanced", 8),
    ("/api/stream_chat", "native", "basic", 6),
    ("/api/chat", "native", "basic", 5),
    ("/v1/chat/completions", "openai", "smart", 24),
    ("/v1/messages", "anthropic", "smart", 11),
)
_MODELS = (("openai", "gpt-4o-mini", 0.15, 0.60, 60), ("openai", "gpt-4o", 2.50, 10.0, 22),
           ("anthropic", "claude-sonnet-4-5", 3.0, 15.0, 18))  # fmt: skip
_PERSONAS = ("VitalikButerin", "AdaLovelace", "MarieCurie", "LuXun")
_QUESTIONS = (
    "What is your opinion on AI, and on those who are afraid of it?",
    "你怎么看人工智能？它会取代写作的人吗？",
    "Explain the idea of a rollup to somebody who has never heard of Ethereum, with an example from daily life",
    "你在做什么？为什么？请用三句话回答",
    "Summarize this paper in five sentences, and name what it does not prove",
    "How did you find radium, and what did it cost you?",
    "请写一首关于秋天的短诗，不要出现“秋”字",
    "What would the Analytical Engine need in order to compose music?",
    "<b>bold</b> & \"quoted\" </script><script>alert('no')</script>",
    "Why does my stream stop after sixty seconds behind nginx? I have set proxy_read_timeout, and it changes nothing",
    "用一句话解释零知识证明",
    "Translate into Chinese: the answer comes at once, and only time streams",
)
_FAILURES = (("error", "backend_error", 25), ("error", "internal", 8), ("timeout", "timeout", 12),
             ("cancelled", "cancelled", 15))  # fmt: skip
_AGENTS = ("OpenAI/Python 1.99.0", "Anthropic/JS 0.60.0", "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0", "curl/8.5.0")

_IN_PROGRESS = 3  # of the newest runs

Row = dict[str, Any]


def seeded(count: int, until: float, span: float = MONTH) -> Iterator[tuple[Row, Row]]:
    """Yield the rows of ``count`` runs in ``span`` seconds before ``until``, oldest first."""
    chance = random.Random(count)
    moments = sorted(until - span * chance.random() ** 1.3 for _ in range(count))
    for number, at in enumerate(moments):
        yield _run(chance, number, round(at, 6), is_new=number >= count - _IN_PROGRESS)


def fill(engine: Engine, count: int, until: float, span: float = MONTH) -> None:
    """Create the tables in an empty database, and insert ``count`` runs."""
    ensure_schema(engine)
    rows = seeded(count, until, span)
    while some := list(islice(rows, 2000)):
        with engine.begin() as connection:
            connection.execute(runs.insert(), [short for short, _ in some])
            connection.execute(run_texts.insert(), [texts for _, texts in some])


def _run(chance: random.Random, number: int, at: float, *, is_new: bool) -> tuple[Row, Row]:
    endpoint, dialect, style, _ = _one(chance, _ENDPOINTS)
    provider, model, price_in, price_out, _ = _one(chance, _MODELS)
    status, code, _ = ("complete", None, 0) if chance.random() < 0.94 else _one(chance, _FAILURES)
    question = f"{chance.choice(_QUESTIONS)} ({number})"
    answer = " ".join(chance.choices(("time", "streams", "answers", "一切", "come", "at", "once."), k=60))
    waiting = chance.expovariate(20.0) if chance.random() < 0.9 else chance.expovariate(0.5)
    processing = min(150.0, chance.lognormvariate(1.8, 0.7)) if code != "timeout" else 150.0
    tokens_in, tokens_out = chance.randint(20, 3000), int(chance.lognormvariate(5.0, 0.8)) + 1
    started_at = at + waiting
    ended_at = started_at + processing
    first_text_at = ended_at + 0.004
    delivery = min(10.0, len(answer) * 0.004)
    is_answered = status == "complete"
    short: Row = {
        "run_id": min_run_id_at(at)[:-16] + f"{number:016d}",
        "owner": f"user-{min(chance.randint(1, 400), chance.randint(1, 400)):03d}",
        "username": chance.choice(_PERSONAS),
        "conversation_id": f"c-{number // 3}",
        "question": question[:200],
        "backend": provider,
        "provider": provider,
        "model": model,
        "endpoint": endpoint,
        "dialect": dialect,
        "style": style,
        "method": "POST",
        "address": f"10.0.{number % 7}.{number % 251}",
        "user_agent": chance.choice(_AGENTS),
        "http_status": 200,
        "status": status,
        "code": code,
        "finish": "stop" if is_answered else None,
        "cached": False,
        "accepted_at": at,
        "started_at": started_at,
        "text_at": ended_at if is_answered else None,
        "ended_at": ended_at,
        "first_event_at": at + 0.003,
        "first_text_at": first_text_at if is_answered else None,
        "delivered_at": ended_at + delivery if is_answered else ended_at + 0.002,
        "waiting": waiting,
        "processing": processing,
        "ttfe": 0.003,
        "ttft": first_text_at - at if is_answered else None,
        "tpot": delivery / tokens_out if is_answered else None,
        "delivery": delivery if is_answered else 0.002,
        "total": ended_at - at,
        "characters": len(answer) if is_answered else 0,
        "input_tokens": tokens_in if is_answered else None,
        "output_tokens": tokens_out if is_answered else None,
        "tokens_estimated": chance.random() < 0.2 if is_answered else None,
        "cost": (tokens_in * price_in + tokens_out * price_out) / 1e6 if is_answered else None,
        "readers": 1 + (chance.random() < 0.05),
        "resumes": int(chance.random() < 0.05),
        "events": 40,
        "pieces": 20,
        "sent_bytes": 9000,
    }
    if is_new:
        short |= dict.fromkeys(_LATER) | {"status": "processing", "readers": 0}
    return short, _texts(short, question, answer, is_answered=is_answered and not is_new)


_LATER = ("http_status", "finish", "cached", "code", "started_at", "text_at", "ended_at", "first_event_at",
          "first_text_at", "delivered_at", "waiting", "processing", "ttfe", "ttft", "tpot", "delivery", "total",
          "characters", "input_tokens", "output_tokens", "tokens_estimated", "cost")  # fmt: skip


def _texts(short: Row, question: str, answer: str, *, is_answered: bool) -> Row:
    started_at, processing = short["started_at"], short["processing"]
    steps: list[Row] = []
    upstream: list[Row] = []
    if started_at is not None:
        steps = [
            {"at": started_at, "kind": "started"},
            {"at": started_at + 0.01, "kind": "asked", "seconds": processing - 0.02,
             "text": f"{short['provider']} {short['model']}"},
            *({"at": started_at + processing * part / 4, "kind": "reported", "text": f"Reading page {part} of 4",
               "fraction": part / 4} for part in range(1, 4)),
            {"at": short["ended_at"], "kind": "answered", "characters": len(answer)} if is_answered
            else {"at": short["ended_at"], "kind": "failed", "text": short["code"]},
        ]  # fmt: skip
        upstream = [
            {"provider": short["provider"], "model": short["model"], "url": "https://provider.example/v1/chat",
             "trouble": None if is_answered else "status 503", "began_at": started_at + 0.01,
             "seconds": processing - 0.02,
             "request": {"model": short["model"], "messages": [{"role": "user", "content": question}]},
             "response": {"choices": [{"message": {"content": answer}}]} if is_answered else None}
        ]  # fmt: skip
    return {
        "run_id": short["run_id"],
        "request_headers": _json([("Host", "127.0.0.1:5001"), ("Authorization", "***"),
                                  ("User-Agent", short["user_agent"]), ("Content-Type", "application/json")]),
        "request_body": _json({"username": short["username"], "message": question}),
        "prompt": None,
        "question": question,
        "response_headers": _json([("Content-Type", "text/event-stream; charset=utf-8"),
                                   ("X-Run-Id", short["run_id"])]),
        "answer": answer if is_answered else None,
        "reasoning": None,
        "error": None if is_answered or short["code"] is None else "An error occurred while processing",
        "steps": _json(steps) if steps else None,
        "upstream": _json(upstream) if upstream else None,
        "raw": None,
    }  # fmt: skip


def _one(chance: random.Random, choices: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    return chance.choices(choices, weights=[choice[-1] for choice in choices])[0]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    file = Path(sys.argv[1])
    made = open_engine(database_url(f"sqlite:///{file.resolve()}", file.parent), 1)
    fill(made, int(sys.argv[2]) if len(sys.argv) > 2 else 100_000, time.time())
    made.dispose()
