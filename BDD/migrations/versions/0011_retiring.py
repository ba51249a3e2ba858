"""Which worker is taking a series out of the archive.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("results") as table:
        table.add_column(sa.Column("retiring_key", sa.Integer(), nullable=True))
        table.create_foreign_key(op.f("fk_results_retiring_key_workers"), "workers", ["retiring_key"], ["id"])


def downgrade() -> None:
    with op.batch_alter_table("results") as table:
        table.drop_constraint(op.f("fk_results_retiring_key_workers"), type_="foreignkey")
        table.drop_column("retiring_key")
