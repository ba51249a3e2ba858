"""By which target rule each series was compared last with what it is to be written with.

Until now that was the one of RANO-BM.

Revision ID: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("series", sa.Column("checked_rule", sa.String(length=16), nullable=True))
    op.execute("UPDATE series SET checked_rule = 'any_lesion' WHERE checked_at IS NOT NULL")


def downgrade() -> None:
    op.drop_column("series", "checked_rule")
