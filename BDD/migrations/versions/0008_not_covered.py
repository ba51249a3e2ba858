"""Lesions that lie outside the images of a visit.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "not_covered",
        sa.Column("job_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tracked_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.id"], name=op.f("fk_not_covered_job_key_jobs")),
        sa.ForeignKeyConstraint(["tracked_key"], ["tracked_lesions.id"], name=op.f("fk_not_covered_tracked_key_tracked_lesions")),
        sa.PrimaryKeyConstraint("job_key", "tracked_key", name=op.f("pk_not_covered")),
    )


def downgrade() -> None:
    op.drop_table("not_covered")
