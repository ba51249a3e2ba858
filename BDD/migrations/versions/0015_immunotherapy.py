"""What people know of a visit: whether the patient is under immunotherapy.

Revision ID: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("visit_assessments") as table:
        table.add_column(sa.Column("immunotherapy", sa.Boolean(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("visit_assessments") as table:
        table.drop_column("immunotherapy")
