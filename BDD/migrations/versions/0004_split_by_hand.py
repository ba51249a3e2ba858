"""Lesions that people have taken apart: which one a lesion was taken for, and from which visit on it is another.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tracked_lesions") as table:
        table.add_column(sa.Column("split_from", sa.Integer(), nullable=True))
        table.add_column(sa.Column("split_at", sa.String(length=64), nullable=True))
        table.create_foreign_key(op.f("fk_tracked_lesions_split_from_tracked_lesions"), "tracked_lesions", ["split_from"], ["id"])


def downgrade() -> None:
    with op.batch_alter_table("tracked_lesions") as table:
        table.drop_constraint(op.f("fk_tracked_lesions_split_from_tracked_lesions"), type_="foreignkey")
        table.drop_column("split_at")
        table.drop_column("split_from")
