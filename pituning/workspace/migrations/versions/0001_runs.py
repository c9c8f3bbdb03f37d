"""Runs with their metrics, interpolation weights and events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(60), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.String),
        sa.Column("pid", sa.Integer),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Column("heartbeat", sa.Double),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("phase", sa.String),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("eta_s", sa.Double),
        sa.Column("error", sa.String),
        sa.Column("result_path", sa.String),
    )
    op.create_index("runs_state", "runs", ["state", "priority", "created"])
    op.create_table(
        "metrics",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(60), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("series", sa.String, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
    )
    op.create_index("metrics_run", "metrics", ["run_id", "id"])
    op.create_table(
        "alphas",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(60), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_index("alphas_run", "alphas", ["run_id", "step"])
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(60), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("message", sa.String, nullable=False),
    )
    op.create_index("events_run", "events", ["run_id", "id"])


def downgrade() -> None:
    for table in ("events", "alphas", "metrics", "runs"):
        op.drop_table(table)
