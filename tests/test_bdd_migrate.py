"""Migrations: they make the tables of the models, once, whoever starts first."""

import multiprocessing
import os
import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text

from BDD import migrate
from BDD.database import open_database
from BDD.models import Base, Patient, Series
from BDD.rethread_store import follow_again
from BDD.store import load_timeline
from rano.history import Rules
from settings import SettingsError
from tests.followup_factory import patient_key, sized, visit
from tests.store_factory import back_to


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path.as_posix()}/folder/metia.db"


def test_migrations_make_what_the_models_say(url):
    migrate.upgrade(url)
    with open_database(url).engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_partial_indexes_and_checks_are_there(url, tmp_path):
    """compare_metadata looks at neither conditions of indexes nor CHECKs: compare the SQL of the tables."""

    def schema(engine):
        with engine.connect() as connection:
            rows = connection.execute(
                text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
            )
            return {name: sorted(re.findall(r"\w+", sql)) for name, sql in rows}

    migrate.upgrade(url)
    from_models = open_database(f"sqlite:///{tmp_path.as_posix()}/models.db").engine
    Base.metadata.create_all(from_models)
    assert schema(open_database(url).engine) == schema(from_models)


def test_a_second_upgrade_keeps_the_rows(url):
    migrate.upgrade(url)
    database = open_database(url)
    with database.writing() as session:
        session.execute(text("INSERT INTO patients (patient_id, patient_name) VALUES ('007', '')"))
    migrate.upgrade(url)
    with database.reading() as session:
        assert session.scalar(text("SELECT patient_id FROM patients")) == "007"


def test_everybody_with_a_visit_is_followed_again_after_what_earlier_versions_did(url):
    migrate.upgrade(url, "0012")
    database = open_database(url)
    with database.writing() as session:
        session.execute(text("INSERT INTO patients (id, patient_id, patient_name) VALUES (1, 'A', ''), (2, 'B', '')"))
        session.execute(text("INSERT INTO studies (patient_key, study_instance_uid) VALUES (2, '1.2.3')"))
    migrate.upgrade(url)
    marked = select(Patient.patient_id).where(Patient.unfollowed_at.is_not(None))
    with database.reading() as session:
        assert session.scalars(marked).all() == ["B"]
    follow_again(database)
    with database.reading() as session:
        assert session.scalars(marked).all() == [], "once"


def test_what_was_compared_before_was_by_the_rule_of_rano_bm(url):
    migrate.upgrade(url, "0013")
    database = open_database(url)
    with database.writing() as session:
        session.execute(text("INSERT INTO patients (id, patient_id, patient_name) VALUES (1, 'A', '')"))
        session.execute(text("INSERT INTO studies (id, patient_key, study_instance_uid) VALUES (1, 1, '1.2.3')"))
        columns = "study_key, series_instance_uid, modality, series_description, checked_at"
        rows = "(1, '1.2.3.1', 'MR', '', '2024-01-01 00:00:00'), (1, '1.2.3.2', 'MR', '', NULL)"
        session.execute(text(f"INSERT INTO series ({columns}) VALUES {rows}"))
    migrate.upgrade(url)
    with database.reading() as session:
        assert session.scalars(select(Series.checked_rule).order_by(Series.id)).all() == ["any_lesion", None]


def copies(url: str) -> list[Path]:
    return sorted(Path(url.removeprefix("sqlite:///")).parent.glob("metia.db.before-*"))


def test_a_file_is_copied_before_its_tables_change_with_what_is_only_in_its_log(url):
    migrate.upgrade(url, "0013")
    database = open_database(url)
    with database.writing() as session:
        session.execute(text("INSERT INTO patients (patient_id, patient_name) VALUES ('007', '')"))
    migrate.upgrade(url)  # while the file is open, so that its log has not been emptied
    (copy,) = copies(url)
    with database.reading() as session:
        revision = session.scalar(text("SELECT version_num FROM alembic_version"))
    assert copy.name == f"metia.db.before-{revision}"
    if os.name == "posix":
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with open_database(f"sqlite:///{copy.as_posix()}").reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0013"
        assert session.scalar(text("SELECT patient_id FROM patients")) == "007"


def test_there_is_no_copy_where_there_is_nothing_to_change(url):
    migrate.upgrade(url)
    migrate.upgrade(url)
    assert copies(url) == []


def test_without_a_copy_nothing_is_changed(url, tmp_path):
    migrate.upgrade(url, "0013")
    (tmp_path / "folder" / "metia.db.before-0015").mkdir()
    with pytest.raises(OSError, match=r"cannot be copied to .*metia\.db\.before-"):
        migrate.upgrade(url, "0015")
    with open_database(url).reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0013"
    assert list(tmp_path.rglob("*.part*")) == []


def test_a_database_of_a_newer_version_is_left_as_it_is(url):
    migrate.upgrade(url)
    database = open_database(url)
    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(
        migrate.NewerDatabaseError, match=r"newer version.*'0999'.*install that version, or restore the copy"
    ):
        migrate.upgrade(url)
    with database.reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0999"
    assert copies(url) == []


def test_downgrade_takes_everything_away(url):
    from alembic import command

    migrate.upgrade(url)
    engine = open_database(url).engine
    with engine.begin() as connection:
        command.downgrade(migrate._config(connection), "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]


def test_processes_that_start_together(url):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(migrate.upgrade, [url] * 4)
    assert "jobs" in inspect(open_database(url).engine).get_table_names()


def test_processes_that_start_together_with_an_old_file_copy_it_once(url):
    migrate.upgrade(url, "0013")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(migrate.upgrade, [url] * 4)
    (copy,) = copies(url)
    with open_database(f"sqlite:///{copy.as_posix()}").reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0013", "as it was before"


def test_lesions_of_before_get_the_numbers_in_their_names_and_others_what_is_free(url):
    migrate.upgrade(url, "0015")
    names = [
        (1, "left frontal"),
        (1, "GTV_MetIA_3"),
        (2, "GTV_MetIA_1"),
        (1, "GTV_MetIA_1"),
        (1, "stem"),
        (1, "GTV_MetIA_0"),
    ]
    with open_database(url).writing() as session:
        for patient in (1, 2):
            session.execute(
                text(f"INSERT INTO patients (id, patient_id, patient_name) VALUES ({patient}, '{patient}', '')")
            )
        for key, (patient, name) in enumerate(names, start=1):
            columns = "id, patient_key, tracking_uid, name, not_a_lesion, version"
            row = f"{key}, {patient}, '2.25.{key}', '{name}', false, 1"
            session.execute(text(f"INSERT INTO tracked_lesions ({columns}) VALUES ({row})"))
    migrate.upgrade(url)
    with open_database(url).reading() as session:
        numbers = session.scalars(text("SELECT number FROM tracked_lesions ORDER BY id")).all()
    assert numbers == [2, 3, 1, 1, 4, 5]


@pytest.fixture
def followed(database, worker):
    """A database of revision 0015 with a patient's two visits."""
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 15.0)])
    visit(database, worker, 2, [sized(1, 15.0, "2.25.2", "GTV_MetIA_2"), sized(2, 10.0, "2.25.1", "GTV_MetIA_1")])
    back_to(database, "0015")
    return database


def test_what_hangs_on_lesions_stays_when_they_get_numbers(followed):
    url = str(followed.engine.url)
    with followed.reading() as session:
        findings = session.execute(text("SELECT * FROM findings")).all()
    migrate.upgrade(url)
    with followed.reading() as session:
        assert session.execute(text("SELECT * FROM findings")).all() == findings != []
        assert session.execute(text("SELECT name, number FROM lesions ORDER BY id")).all() == [
            *[("GTV_MetIA_1", 1), ("GTV_MetIA_2", 2)],
            *[("GTV_MetIA_2", 1), ("GTV_MetIA_1", 2)],  # by its label: so it was written
        ]
        assert session.execute(text("SELECT name, number FROM tracked_lesions ORDER BY id")).all() == [
            ("GTV_MetIA_1", 1),
            ("GTV_MetIA_2", 2),
        ]
    assert [len(one.lesions) for one in [load_timeline(followed, patient_key(followed), Rules())]] == [2]


def test_tables_whose_rows_refer_to_nothing_are_left_as_they_are(followed):
    with closing(sqlite3.connect(followed.engine.url.database)) as connection:
        connection.execute("DELETE FROM lesions")  # sqlite3 alone does not look after it
        connection.commit()
    with pytest.raises(SettingsError, match="rows of findings refer to rows that are not there"):
        migrate.upgrade(str(followed.engine.url))
    with followed.reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0015"
        assert "number" not in {one["name"] for one in inspect(session.connection()).get_columns("tracked_lesions")}
