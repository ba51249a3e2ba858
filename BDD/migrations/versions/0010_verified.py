"""What people have looked at and found right of how the lesions of a visit were followed.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("visit_assessments") as table:
        table.add_column(sa.Column("verified", sa.String(length=64), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("visit_assessments") as table:
        table.drop_column("verified")
