"""The index of the queue in the very order in which runs are taken, so that the next one is found without sorting."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("runs_queue", "runs")
    op.create_index("runs_queue", "runs", ["state", sa.text("priority DESC"), "position", "id"])


def downgrade() -> None:
    op.drop_index("runs_queue", "runs")
    op.create_index("runs_queue", "runs", ["state", "priority", "position", "id"])
