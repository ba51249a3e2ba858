"""What readers say of the lesions of a visit.

Revision ID: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("visit_assessments") as table:
        table.add_column(sa.Column("judgements", sa.JSON(), nullable=True))
    assessments = sa.table("visit_assessments", sa.column("judgements", sa.JSON()))
    op.execute(assessments.update().values(judgements={}))
    with op.batch_alter_table("visit_assessments") as table:
        table.alter_column("judgements", existing_type=sa.JSON(), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("visit_assessments") as table:
        table.drop_column("judgements")
