"""Table definitions. Run ids sort by time, moments and durations are doubles in seconds.

Lists and charts read ``runs``, whose rows are short; the texts of a run are in ``run_texts``. Both tables are derived
from the columns that ``models.py`` declares.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

from persona_stream.db.models import RUN_COLUMNS, TEXT_COLUMNS, LogColumn

_RUN_ID = String(26)
_STATUS = String(16)
_MOMENT = Float(53)
_TYPES: Mapping[str, Any] = {
    "id": _RUN_ID, "status": _STATUS, "text": Text, "json": Text, "count": Integer, "bytes": BigInteger,
    "flag": Boolean, "moment": _MOMENT, "seconds": Float(53), "dollars": Float(53),
}  # fmt: skip


def log_table(name: str, columns: Sequence[LogColumn], metadata: MetaData) -> Table:
    """Create a table of declared columns; it begins with the run id as its primary key."""
    others = [column for column in columns if column.kind != "id"]
    return Table(
        name,
        metadata,
        Column("run_id", _RUN_ID, primary_key=True),
        *(Column(column.name, _TYPES[column.kind], nullable=column.is_optional) for column in others),
    )


def _required(kind: Any, *names: str) -> Iterator[Column[Any]]:
    return (Column(name, kind, nullable=False) for name in names)


metadata = MetaData()

runs = log_table("runs", RUN_COLUMNS, metadata)
for _name in ("owner", "username", "endpoint", "model", "status", "conversation_id", "total"):
    Index(f"runs_by_{_name}", runs.c[_name], runs.c.run_id)
# Covers the sums of charts, in the order of time: they scan every run of a month, and read no row.
_MEASURES = ("accepted_at", "ended_at", "status", "waiting", "processing", "ttft", "delivery", "total", "characters",
             "input_tokens", "output_tokens", "cost")  # fmt: skip
Index("runs_for_charts", runs.c.run_id, *(runs.c[name] for name in _MEASURES))

run_texts = log_table("run_texts", TEXT_COLUMNS, metadata)

conversations = Table(
    "conversations",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("conversation_id", String(128), primary_key=True),
    *_required(Text, "username", "title"),
    *_required(_MOMENT, "created_at", "updated_at"),
)
Index("conversations_by_update", conversations.c.owner, conversations.c.updated_at, conversations.c.conversation_id)

exchanges = Table(
    "exchanges",
    metadata,
    Column("run_id", _RUN_ID, primary_key=True),
    *_required(Text, "owner", "username", "question", "answer"),
    Column("reasoning", Text),  # only for an exchange without an answer
    *_required(String(128), "conversation_id"),
    *_required(_MOMENT, "at"),
    *_required(Boolean, "is_complete"),
    *_required(_STATUS, "status"),
    *_required(Integer, "tokens"),  # of question and answer, to limit the history
)
Index("exchanges_by_conversation", exchanges.c.owner, exchanges.c.conversation_id, exchanges.c.run_id)

# The last batch that each process has committed: a retry after a lost reply looks here whether it was written.
writers = Table(
    "writers", metadata, Column("writer", String(32), primary_key=True), *_required(BigInteger, "batch"),
    *_required(_MOMENT, "at"),
)  # fmt: skip
