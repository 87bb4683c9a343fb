"""Create the tables of the request log and of conversations."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

RUN_ID = sa.String(26)
STATUS = sa.String(16)
DOUBLE = sa.Float(53)


def columns(kind: Any, *, required: str = "", optional: str = "") -> Iterator[sa.Column[Any]]:
    """Yield columns of one type from their names."""
    for names, nullable in ((required, False), (optional, True)):
        yield from (sa.Column(name, kind, nullable=nullable) for name in names.split())


def upgrade() -> None:
    """Create the tables and their indexes."""
    op.create_table(
        "conversations",
        *columns(sa.Text, required="owner username title"),
        *columns(sa.String(128), required="conversation_id"),
        *columns(DOUBLE, required="created_at updated_at"),
        sa.PrimaryKeyConstraint("owner", "conversation_id"),
    )
    op.create_index("conversations_by_update", "conversations", ["owner", "updated_at", "conversation_id"])
    op.create_table(
        "exchanges",
        sa.Column("run_id", RUN_ID, primary_key=True),
        *columns(sa.Text, required="owner username question answer", optional="reasoning"),
        *columns(sa.String(128), required="conversation_id"),
        *columns(DOUBLE, required="at"),
        *columns(sa.Boolean, required="is_complete"),
        *columns(STATUS, required="status"),
        *columns(sa.Integer, required="tokens"),
    )
    op.create_index("exchanges_by_conversation", "exchanges", ["owner", "conversation_id", "run_id"])
    texts = "request_headers request_body prompt question response_headers answer reasoning error steps upstream raw"
    op.create_table("run_texts", sa.Column("run_id", RUN_ID, primary_key=True), *columns(sa.Text, optional=texts))
    op.create_table(
        "runs",
        sa.Column("run_id", RUN_ID, primary_key=True),
        *columns(
            sa.Text,
            required="owner username conversation_id question backend endpoint dialect style method address user_agent",
            optional="provider model code finish",
        ),
        *columns(STATUS, required="status"),
        *columns(
            DOUBLE,
            required="accepted_at",
            optional="started_at text_at ended_at first_event_at first_text_at delivered_at"
            " waiting processing ttfe ttft tpot delivery total cost",
        ),
        *columns(
            sa.Integer,
            required="readers resumes events pieces",
            optional="http_status characters input_tokens output_tokens",
        ),
        *columns(sa.Boolean, optional="tokens_estimated"),
        *columns(sa.BigInteger, required="sent_bytes"),
    )
    for name in ("conversation_id", "endpoint", "model", "owner", "status", "total", "username"):
        op.create_index(f"runs_by_{name}", "runs", [name, "run_id"])
    op.create_index(
        "runs_for_charts",
        "runs",
        ["run_id", "accepted_at", "ended_at", "status", "waiting", "processing", "ttft", "delivery", "total",
         "characters", "input_tokens", "output_tokens", "cost"],
    )  # fmt: skip
    op.create_table(
        "writers",
        sa.Column("writer", sa.String(32), primary_key=True),
        *columns(sa.BigInteger, required="batch"),
        *columns(DOUBLE, required="at"),
    )


def downgrade() -> None:
    """Drop all tables."""
    for table in ("writers", "runs", "run_texts", "exchanges", "conversations"):
        op.drop_table(table)
