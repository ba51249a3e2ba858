"""A small picture of each lesion.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "key_images",
        sa.Column("lesion_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["lesion_key"], ["lesions.id"], name=op.f("fk_key_images_lesion_key_lesions")),
        sa.PrimaryKeyConstraint("lesion_key", name=op.f("pk_key_images")),
    )


def downgrade() -> None:
    op.drop_table("key_images")
