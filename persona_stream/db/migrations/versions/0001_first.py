"""The first tables: a log of runs, and conversations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.String(length=128), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("owner", "conversation_id"),
    )
    op.create_index(
        "conversations_by_update", "conversations", ["owner", "updated_at", "conversation_id"], unique=False
    )
    op.create_table(
        "exchanges",
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.String(length=128), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("reasoning", sa.Text(), nullable=True),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("exchanges_by_conversation", "exchanges", ["owner", "conversation_id", "run_id"], unique=False)
    op.create_table(
        "run_texts",
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.Column("request_headers", sa.Text(), nullable=True),
        sa.Column("request_body", sa.Text(), nullable=True),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("question", sa.Text(), nullable=True),
        sa.Column("response_headers", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("reasoning", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("steps", sa.Text(), nullable=True),
        sa.Column("upstream", sa.Text(), nullable=True),
        sa.Column("raw", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(length=26), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("finish", sa.Text(), nullable=True),
        sa.Column("accepted_at", sa.Float(precision=53), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=True),
        sa.Column("text_at", sa.Float(precision=53), nullable=True),
        sa.Column("ended_at", sa.Float(precision=53), nullable=True),
        sa.Column("first_event_at", sa.Float(precision=53), nullable=True),
        sa.Column("first_text_at", sa.Float(precision=53), nullable=True),
        sa.Column("delivered_at", sa.Float(precision=53), nullable=True),
        sa.Column("waiting", sa.Float(precision=53), nullable=True),
        sa.Column("processing", sa.Float(precision=53), nullable=True),
        sa.Column("ttfe", sa.Float(precision=53), nullable=True),
        sa.Column("ttft", sa.Float(precision=53), nullable=True),
        sa.Column("tpot", sa.Float(precision=53), nullable=True),
        sa.Column("delivery", sa.Float(precision=53), nullable=True),
        sa.Column("total", sa.Float(precision=53), nullable=True),
        sa.Column("characters", sa.Integer(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("tokens_estimated", sa.Boolean(), nullable=True),
        sa.Column("cost", sa.Float(precision=53), nullable=True),
        sa.Column("readers", sa.Integer(), nullable=False),
        sa.Column("resumes", sa.Integer(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("pieces", sa.Integer(), nullable=False),
        sa.Column("sent_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("runs_by_conversation_id", "runs", ["conversation_id", "run_id"], unique=False)
    op.create_index("runs_by_endpoint", "runs", ["endpoint", "run_id"], unique=False)
    op.create_index("runs_by_model", "runs", ["model", "run_id"], unique=False)
    op.create_index("runs_by_owner", "runs", ["owner", "run_id"], unique=False)
    op.create_index("runs_by_status", "runs", ["status", "run_id"], unique=False)
    op.create_index("runs_by_total", "runs", ["total", "run_id"], unique=False)
    op.create_index("runs_by_username", "runs", ["username", "run_id"], unique=False)
    op.create_index(
        "runs_for_charts",
        "runs",
        [
            "run_id",
            "accepted_at",
            "ended_at",
            "status",
            "waiting",
            "processing",
            "ttft",
            "delivery",
            "total",
            "characters",
            "input_tokens",
            "output_tokens",
            "cost",
        ],
        unique=False,
    )
    op.create_table(
        "writers",
        sa.Column("writer", sa.String(length=32), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("writer"),
    )


def downgrade() -> None:
    op.drop_table("writers")
    op.drop_index("runs_for_charts", table_name="runs")
    op.drop_index("runs_by_username", table_name="runs")
    op.drop_index("runs_by_total", table_name="runs")
    op.drop_index("runs_by_status", table_name="runs")
    op.drop_index("runs_by_owner", table_name="runs")
    op.drop_index("runs_by_model", table_name="runs")
    op.drop_index("runs_by_endpoint", table_name="runs")
    op.drop_index("runs_by_conversation_id", table_name="runs")
    op.drop_table("runs")
    op.drop_table("run_texts")
    op.drop_index("exchanges_by_conversation", table_name="exchanges")
    op.drop_table("exchanges")
    op.drop_index("conversations_by_update", table_name="conversations")
    op.drop_table("conversations")
