"""Alembic environment: runs the migrations on the connection that is handed in."""

from alembic import context

from persona_stream.db.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
