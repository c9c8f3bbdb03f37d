"""Batches, an order that people can change, slots, classes of failures, and what holds for the queue as a whole.

A run that has a result is called ``succeeded`` from here on; it was ``done``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEW = {
    "batch": sa.String(60), "slot": sa.String(), "host": sa.String(), "pid_created": sa.Double(),
    "failure": sa.String(30), "mend": sa.String(),
}  # fmt: skip


def upgrade() -> None:
    for name, type_ in NEW.items():
        op.add_column("runs", sa.Column(name, type_))
    op.add_column("runs", sa.Column("position", sa.Double, nullable=False, server_default="0"))
    op.execute("UPDATE runs SET position = created")
    op.execute("UPDATE runs SET state = 'succeeded' WHERE state = 'done'")
    op.drop_index("runs_state", "runs")
    op.create_index("runs_queue", "runs", ["state", "priority", "position", "id"])
    op.create_index("runs_created", "runs", ["created", "id"])
    op.create_index("runs_batch", "runs", ["batch"])
    op.create_table(
        "settings",
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("settings")
    for index in ("runs_batch", "runs_created", "runs_queue"):
        op.drop_index(index, "runs")
    op.create_index("runs_state", "runs", ["state", "priority", "created"])
    op.execute("UPDATE runs SET state = 'done' WHERE state = 'succeeded'")
    with op.batch_alter_table("runs") as table:
        for name in (*NEW, "position"):
            table.drop_column(name)
