"""Lesions have numbers, by which they are coloured: 1, 2, ... within each patient.

A lesion that goes by a name of ours gets the number in it, any other the lowest that is free. What was written before
is coloured by its label.

Revision ID: 0016
"""

import re
from itertools import count, groupby
from operator import attrgetter

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("tracked_lesions", "lesions"):
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("number", sa.Integer(), nullable=True))
    lesions = sa.table("lesions", sa.column("label"), sa.column("number"))
    op.execute(lesions.update().values(number=lesions.c.label))
    _number()
    for table in ("tracked_lesions", "lesions"):
        with op.batch_alter_table(table) as batch:
            batch.alter_column("number", existing_type=sa.Integer(), nullable=False)


def _number() -> None:
    tracked = sa.table("tracked_lesions", *map(sa.column, ("id", "patient_key", "name", "number")))
    connection = op.get_bind()
    rows = connection.execute(sa.select(tracked).order_by(tracked.c.patient_key, tracked.c.id)).all()
    for _, of_patient in groupby(rows, attrgetter("patient_key")):
        numbers: dict[int, int] = {}  # key -> number
        others = []
        for row in of_patient:
            ours = re.fullmatch("GTV_MetIA_([1-9][0-9]{0,5})", row.name)
            if ours and int(ours[1]) not in numbers.values():
                numbers[row.id] = int(ours[1])
            else:
                others.append(row.id)
        free = (number for number in count(1) if number not in numbers.values())
        for key in others:
            numbers[key] = next(free)
        for key, number in numbers.items():
            connection.execute(tracked.update().where(tracked.c.id == key).values(number=number))


def downgrade() -> None:
    for table in ("tracked_lesions", "lesions"):
        op.drop_column(table, "number")
