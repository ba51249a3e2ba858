"""How far the change log of each archive was read.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "archive_logs",
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_archive_logs")),
    )


def downgrade() -> None:
    op.drop_table("archive_logs")
