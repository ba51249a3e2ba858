"""First tables: patients, studies, series, jobs, models, workers, lesions, results.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RUNNING = sa.text("state IN ('fetching', 'reading', 'segmenting', 'measuring', 'writing')")
OPEN = sa.text("state IN ('queued', 'fetching', 'reading', 'segmenting', 'measuring', 'writing')")


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=50), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", "version", "sha256", name=op.f("uq_models_name_version_sha256")),
    )
    op.create_table(
        "patients",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.String(length=64), nullable=True),
        sa.Column("patient_name", sa.Text(), nullable=False),
        sa.Column("patient_birth_date", sa.Date(), nullable=True),
        sa.Column("patient_sex", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
        sa.UniqueConstraint("patient_id", name=op.f("uq_patients_patient_id")),
    )
    op.create_table(
        "studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_key", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("study_date", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["patient_key"], ["patients.id"], name=op.f("fk_studies_patient_key_patients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sa.UniqueConstraint("study_instance_uid", name=op.f("uq_studies_study_instance_uid")),
    )
    op.create_index(op.f("ix_studies_patient_key"), "studies", ["patient_key"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(length=100), nullable=True),
        sa.Column("model_key", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["model_key"], ["models.id"], name=op.f("fk_workers_model_key_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_key", sa.Integer(), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.Column("series_description", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_key"], ["studies.id"], name=op.f("fk_series_study_key_studies")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("series_instance_uid", name=op.f("uq_series_series_instance_uid")),
    )
    op.create_index(op.f("ix_series_study_key"), "series", ["study_key"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("selection", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("requested_model", sa.String(length=100), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("fraction", sa.Double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("problem", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("worker_key", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("series_key", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("model_key", sa.Integer(), nullable=True),
        sa.Column("timings", sa.JSON(none_as_null=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'fetching', 'reading', 'segmenting', 'measuring', 'writing', 'done', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.ForeignKeyConstraint(["model_key"], ["models.id"], name=op.f("fk_jobs_model_key_models")),
        sa.ForeignKeyConstraint(["series_key"], ["series.id"], name=op.f("fk_jobs_series_key_series")),
        sa.ForeignKeyConstraint(["worker_key"], ["workers.id"], name=op.f("fk_jobs_worker_key_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("job_id", name=op.f("uq_jobs_job_id")),
        sa.UniqueConstraint("series_key", "version", name=op.f("uq_jobs_series_key_version")),
    )
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)
    op.create_index(op.f("ix_jobs_study_instance_uid"), "jobs", ["study_instance_uid"], unique=False)
    op.create_index(
        "uq_jobs_open_series", "jobs", ["series_instance_uid"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN
    )
    op.create_index(
        "uq_jobs_running_study",
        "jobs",
        ["study_instance_uid"],
        unique=True,
        sqlite_where=RUNNING,
        postgresql_where=RUNNING,
    )
    op.create_table(
        "lesions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_key", sa.Integer(), nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("tracking_uid", sa.String(length=64), nullable=False),
        sa.Column("volume_mm3", sa.Double(), nullable=False),
        sa.Column("longest_diameter_mm", sa.Double(), nullable=False),
        sa.Column("longest_start_lps_mm", sa.JSON(), nullable=False),
        sa.Column("longest_end_lps_mm", sa.JSON(), nullable=False),
        sa.Column("perpendicular_diameter_mm", sa.Double(), nullable=False),
        sa.Column("perpendicular_start_lps_mm", sa.JSON(), nullable=False),
        sa.Column("perpendicular_end_lps_mm", sa.JSON(), nullable=False),
        sa.Column("diameter_3d_mm", sa.Double(), nullable=False),
        sa.Column("centroid_lps_mm", sa.JSON(), nullable=False),
        sa.Column("plane", sa.String(length=16), nullable=False),
        sa.Column("measurable", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("first_slice", sa.Integer(), nullable=False),
        sa.Column("first_sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("first_frame_number", sa.Integer(), nullable=True),
        sa.Column("last_slice", sa.Integer(), nullable=False),
        sa.Column("last_sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("last_frame_number", sa.Integer(), nullable=True),
        sa.Column("measured_slice", sa.Integer(), nullable=False),
        sa.Column("measured_sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("measured_frame_number", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.id"], name=op.f("fk_lesions_job_key_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lesions")),
        sa.UniqueConstraint("job_key", "label", name=op.f("uq_lesions_job_key_label")),
        sa.UniqueConstraint("job_key", "tracking_uid", name=op.f("uq_lesions_job_key_tracking_uid")),
    )
    op.create_index(op.f("ix_lesions_tracking_uid"), "lesions", ["tracking_uid"], unique=False)
    op.create_table(
        "results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_key", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.id"], name=op.f("fk_results_job_key_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_results")),
        sa.UniqueConstraint("series_instance_uid", name=op.f("uq_results_series_instance_uid")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_results_sop_instance_uid")),
    )
    op.create_index(op.f("ix_results_job_key"), "results", ["job_key"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_results_job_key"), table_name="results")
    op.drop_table("results")
    op.drop_index(op.f("ix_lesions_tracking_uid"), table_name="lesions")
    op.drop_table("lesions")
    op.drop_index("uq_jobs_running_study", table_name="jobs", sqlite_where=RUNNING, postgresql_where=RUNNING)
    op.drop_index("uq_jobs_open_series", table_name="jobs", sqlite_where=OPEN, postgresql_where=OPEN)
    op.drop_index(op.f("ix_jobs_study_instance_uid"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_state"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_index(op.f("ix_series_study_key"), table_name="series")
    op.drop_table("series")
    op.drop_table("workers")
    op.drop_index(op.f("ix_studies_patient_key"), table_name="studies")
    op.drop_table("studies")
    op.drop_table("patients")
    op.drop_table("models")
