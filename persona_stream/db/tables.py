"""The tables. Moments are seconds since 1970 and durations seconds, as doubles; names of runs sort by time.

What lists and charts look at is in ``runs``, whose rows are short; the texts are in ``run_texts``.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

Moment = Seconds = Float(53)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("conversation_id", Text, nullable=False),
    Column("question", Text, nullable=False),  # its beginning, for lists and searches
    Column("backend", Text, nullable=False),
    Column("provider", Text),
    Column("model", Text),
    Column("endpoint", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("style", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("http_status", Integer),
    Column("status", String(16), nullable=False),
    Column("code", Text),
    Column("finish", Text),
    Column("accepted_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("text_at", Moment),  # when the backend gave the first of the answer
    Column("ended_at", Moment),
    Column("first_event_at", Moment),  # these three of the first reader
    Column("first_text_at", Moment),
    Column("delivered_at", Moment),
    Column("waiting", Seconds),
    Column("processing", Seconds),
    Column("ttfe", Seconds),
    Column("ttft", Seconds),
    Column("tpot", Seconds),
    Column("delivery", Seconds),
    Column("total", Seconds),
    Column("characters", Integer),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("tokens_estimated", Boolean),
    Column("cost", Float(53)),  # US dollars
    Column("readers", Integer, nullable=False, default=0),
    Column("resumes", Integer, nullable=False, default=0),
    Column("events", Integer, nullable=False, default=0),
    Column("pieces", Integer, nullable=False, default=0),
    Column("sent_bytes", BigInteger, nullable=False, default=0),
)
for _name in ("owner", "username", "endpoint", "model", "status", "conversation_id"):
    Index(f"runs_by_{_name}", runs.c[_name], runs.c.run_id)
Index("runs_by_total", runs.c.total, runs.c.run_id)
# All that charts add up, in the order of time: they look at every run of a month, and at no row.
_MEASURES = ("accepted_at", "ended_at", "status", "waiting", "processing", "ttft", "delivery", "total", "characters",
             "input_tokens", "output_tokens", "cost")  # fmt: skip
Index("runs_for_charts", runs.c.run_id, *(runs.c[name] for name in _MEASURES))

run_texts = Table(
    "run_texts",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("request_headers", Text),  # JSON: pairs
    Column("request_body", Text),
    Column("prompt", Text),
    Column("question", Text),
    Column("response_headers", Text),  # JSON: pairs
    Column("answer", Text),
    Column("reasoning", Text),
    Column("error", Text),
    Column("steps", Text),  # JSON: what happened, and when
    Column("upstream", Text),  # JSON: what was asked of providers
    Column("raw", Text),  # JSON: what the backend kept of its own
)

conversations = Table(
    "conversations",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("conversation_id", String(128), primary_key=True),
    Column("username", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
Index("conversations_by_update", conversations.c.owner, conversations.c.updated_at, conversations.c.conversation_id)

exchanges = Table(
    "exchanges",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("conversation_id", String(128), nullable=False),
    Column("username", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("reasoning", Text),  # only where there is no answer
    Column("is_complete", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("tokens", Integer, nullable=False),  # of question and answer, for the bound on history
)
Index("exchanges_by_conversation", exchanges.c.owner, exchanges.c.conversation_id, exchanges.c.run_id)

# How far each process has written: whoever tries again after a lost reply sees here whether that came through.
writers = Table(
    "writers",
    metadata,
    Column("writer", String(32), primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
)
