"""How sure the network was of each lesion.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("lesions") as table:
        table.add_column(sa.Column("mean_probability", sa.Double(), nullable=True))
        table.add_column(sa.Column("entropy_bits", sa.Double(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("lesions") as table:
        table.drop_column("entropy_bits")
        table.drop_column("mean_probability")
