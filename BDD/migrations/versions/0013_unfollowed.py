"""Which patients are to be followed again, because what that rests on has changed.

All who have a visit are, once: what earlier versions left wrong, nobody has noted.

Revision ID: 0013
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("patients", sa.Column("unfollowed_at", sa.DateTime(timezone=True), nullable=True))
    patients = sa.table("patients", sa.column("id"), sa.column("unfollowed_at", sa.DateTime(timezone=True)))
    with_visits = patients.c.id.in_(sa.select(sa.table("studies", sa.column("patient_key")).c.patient_key))
    # Not CURRENT_TIMESTAMP, which SQLite gives in another form than it is compared in.
    op.execute(patients.update().where(with_visits).values(unfollowed_at=datetime.now(UTC)))


def downgrade() -> None:
    op.drop_column("patients", "unfollowed_at")
