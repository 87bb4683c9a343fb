"""Add the column that says whether an answer came from the cache."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("runs", sa.Column("cached", sa.Boolean, nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("runs", "cached")
