"""On PostgreSQL, texts that files and bundles tell may be longer than their rules allow; on SQLite they always could.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

COLUMNS = (
    ("patients", "patient_id", 64),
    ("patients", "patient_sex", 16),
    ("series", "modality", 16),
    ("models", "name", 100),
    ("models", "version", 50),
    ("workers", "device", 100),
    ("jobs", "requested_model", 100),
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, column, _ in COLUMNS:
            op.alter_column(table, column, type_=sa.Text())


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, column, length in COLUMNS:
            op.alter_column(table, column, type_=sa.String(length=length))
