"""Who queued a run: an e-mail address, or nothing where nobody had to sign in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("submitted_by", sa.String))


def downgrade() -> None:
    with op.batch_alter_table("runs") as table:
        table.drop_column("submitted_by")
