"""Alembic's entry: runs the migrations on the connection that `open_database` hands over."""

from __future__ import annotations

from alembic import context

from pituning.workspace.database import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter a table in place
)
context.run_migrations()
