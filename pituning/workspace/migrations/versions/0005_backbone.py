"""The backbone that a run is on, as its spec says it; those from before there was a choice are on ``mini``."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

RUNS = sa.table("runs", sa.column("id", sa.String), sa.column("backbone", sa.String), sa.column("spec", sa.Text))


def upgrade() -> None:
    op.add_column("runs", sa.Column("backbone", sa.String(60), nullable=False, server_default="mini"))
    connection = op.get_bind()
    for run_id, spec in connection.execute(sa.select(RUNS.c.id, RUNS.c.spec)).all():
        backbone = _backbone(spec)
        if backbone is not None:
            connection.execute(sa.update(RUNS).where(RUNS.c.id == run_id).values(backbone=backbone))


def _backbone(spec: Any) -> str | None:
    """What a spec says; PostgreSQL gives it parsed, SQLite as text."""
    try:
        document = json.loads(spec) if isinstance(spec, str) else spec
        name = document["config"].get("backbone")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def downgrade() -> None:
    with op.batch_alter_table("runs") as table:
        table.drop_column("backbone")
