"""Lesions of which it is not sure that they have gone, beside those that lie outside the images.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make("absences", sa.Column("status", sa.String(length=16), nullable=False))
    op.execute("INSERT INTO absences SELECT job_key, tracked_key, 'not covered' FROM not_covered")
    op.drop_table("not_covered")


def downgrade() -> None:
    _make("not_covered")
    op.execute("INSERT INTO not_covered SELECT job_key, tracked_key FROM absences WHERE status = 'not covered'")
    op.drop_table("absences")


def _make(name: str, *columns: sa.Column) -> None:
    op.create_table(
        name,
        sa.Column("job_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tracked_key", sa.Integer(), autoincrement=False, nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["job_key"], ["jobs.id"], name=op.f(f"fk_{name}_job_key_jobs")),
        sa.ForeignKeyConstraint(["tracked_key"], ["tracked_lesions.id"], name=op.f(f"fk_{name}_tracked_key_tracked_lesions")),
        sa.PrimaryKeyConstraint("job_key", "tracked_key", name=op.f(f"pk_{name}")),
    )
