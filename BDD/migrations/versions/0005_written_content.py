"""With what each series was written, and which patients' series are to be compared with that anew.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("patients", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("series", sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("content", sa.String(length=64), nullable=True))
    op.execute(
        "UPDATE patients SET changed_at = (SELECT max(tracked_lesions.changed_at) FROM tracked_lesions "
        "WHERE tracked_lesions.patient_key = patients.id)"
    )
    op.drop_column("tracked_lesions", "changed_at")


def downgrade() -> None:
    op.add_column("tracked_lesions", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_column("jobs", "content")
    op.drop_column("series", "checked_at")
    op.drop_column("patients", "changed_at")
