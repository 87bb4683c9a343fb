"""Add the column of the attachments of a question."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("run_texts", sa.Column("attachments", sa.Text, nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("run_texts", "attachments")
