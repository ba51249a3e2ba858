"""Follow-up: lesions through the visits, people's decisions, and what is needed to follow and to write again.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("purpose", sa.String(length=16), nullable=False, server_default="segment"))
    op.create_table(
        "tracked_lesions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_key", sa.Integer(), nullable=False),
        sa.Column("tracking_uid", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("target", sa.Boolean(), nullable=True),
        sa.Column("not_a_lesion", sa.Boolean(), nullable=False),
        sa.Column("merged_into", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["merged_into"], ["tracked_lesions.id"], name=op.f("fk_tracked_lesions_merged_into_tracked_lesions")),
        sa.ForeignKeyConstraint(["patient_key"], ["patients.id"], name=op.f("fk_tracked_lesions_patient_key_patients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracked_lesions")),
        sa.UniqueConstraint("patient_key", "tracking_uid", name=op.f("uq_tracked_lesions_patient_key_tracking_uid")),
    )
    op.create_index(op.f("ix_tracked_lesions_patient_key"), "tracked_lesions", ["patient_key"], unique=False)
    op.create_table(
        "findings",
        sa.Column("lesion_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tracked_key", sa.Integer(), nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("ambiguous", sa.Boolean(), nullable=False),
        sa.Column("part_of", sa.String(length=64), nullable=True),
        sa.Column("merged", sa.JSON(), nullable=False),
        sa.Column("shape", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["lesion_key"], ["lesions.id"], name=op.f("fk_findings_lesion_key_lesions")),
        sa.ForeignKeyConstraint(["tracked_key"], ["tracked_lesions.id"], name=op.f("fk_findings_tracked_key_tracked_lesions")),
        sa.PrimaryKeyConstraint("lesion_key", name=op.f("pk_findings")),
    )
    op.create_index(op.f("ix_findings_tracked_key"), "findings", ["tracked_key"], unique=False)
    op.create_table(
        "label_maps",
        sa.Column("job_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("voxels", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.id"], name=op.f("fk_label_maps_job_key_jobs")),
        sa.PrimaryKeyConstraint("job_key", name=op.f("pk_label_maps")),
    )
    op.create_table(
        "visit_images",
        sa.Column("series_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("frame_of_reference_uid", sa.String(length=64), nullable=True),
        sa.Column("image", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["series_key"], ["series.id"], name=op.f("fk_visit_images_series_key_series")),
        sa.PrimaryKeyConstraint("series_key", name=op.f("pk_visit_images")),
    )
    op.create_table(
        "registrations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("earlier_key", sa.Integer(), nullable=False),
        sa.Column("later_key", sa.Integer(), nullable=False),
        sa.Column("matrix", sa.JSON(), nullable=False),
        sa.Column("quality", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["earlier_key"], ["series.id"], name=op.f("fk_registrations_earlier_key_series")),
        sa.ForeignKeyConstraint(["later_key"], ["series.id"], name=op.f("fk_registrations_later_key_series")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registrations")),
        sa.UniqueConstraint("earlier_key", "later_key", name=op.f("uq_registrations_earlier_key_later_key")),
    )
    op.create_table(
        "visit_assessments",
        sa.Column("study_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("corticosteroid_mg", sa.Double(), nullable=True),
        sa.Column("clinical_status", sa.String(length=16), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("baseline", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["study_key"], ["studies.id"], name=op.f("fk_visit_assessments_study_key_studies")),
        sa.PrimaryKeyConstraint("study_key", name=op.f("pk_visit_assessments")),
    )
    op.create_table(
        "changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_key", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=16), nullable=False),
        sa.Column("subject_key", sa.Integer(), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("made_by", sa.String(length=100), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["patient_key"], ["patients.id"], name=op.f("fk_changes_patient_key_patients")),
        sa.ForeignKeyConstraint(["undoes"], ["changes.id"], name=op.f("fk_changes_undoes_changes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
        sa.UniqueConstraint("undoes", name=op.f("uq_changes_undoes")),
    )
    op.create_index(op.f("ix_changes_patient_key"), "changes", ["patient_key"], unique=False)
    _track_what_is_there()


def _track_what_is_there() -> None:
    """Make each lesion that was found before a tracked one, by its tracking UID."""
    of_patient = (
        "FROM lesions JOIN jobs ON jobs.id = lesions.job_key JOIN series ON series.id = jobs.series_key "
        "JOIN studies ON studies.id = series.study_key"
    )
    op.execute(
        "INSERT INTO tracked_lesions (patient_key, tracking_uid, name, not_a_lesion, version) "
        f"SELECT studies.patient_key, lesions.tracking_uid, max(lesions.name), false, 1 {of_patient} "
        "GROUP BY studies.patient_key, lesions.tracking_uid"
    )
    op.execute(
        "INSERT INTO findings (lesion_key, tracked_key, relation, ambiguous, merged) "
        f"SELECT lesions.id, tracked_lesions.id, '', false, '[]' {of_patient} "
        "JOIN tracked_lesions ON tracked_lesions.patient_key = studies.patient_key "
        "AND tracked_lesions.tracking_uid = lesions.tracking_uid"
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_changes_patient_key"), table_name="changes")
    op.drop_table("changes")
    op.drop_table("visit_assessments")
    op.drop_table("registrations")
    op.drop_table("visit_images")
    op.drop_table("label_maps")
    op.drop_index(op.f("ix_findings_tracked_key"), table_name="findings")
    op.drop_table("findings")
    op.drop_index(op.f("ix_tracked_lesions_patient_key"), table_name="tracked_lesions")
    op.drop_table("tracked_lesions")
    op.drop_column("jobs", "purpose")
