"""What a job leaves: nothing lost between a Lesion and its row, one transaction, versions, superseded series."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from pydicom import Dataset

from BDD import store
from BDD.models import RELABEL, SEGMENT, LesionRow, Model, Patient, Result, Series, Study
from BDD.rethread_store import follow_again
from tests.store_factory import (
    MODEL,
    SERIES,
    SLICES,
    STUDY,
    SliceStub,
    done_job,
    finish,
    lesion,
    running_job,
    series_record,
    written_series,
)


def count(database, table):
    with database.reading() as session:
        return session.query(table).count()


def test_lesions_come_back_as_they_went_in(database, worker):
    lesions = [lesion(1), replace(lesion(2, volume_mm3=3.3), name="Left temporal")]
    done_job(database, worker, lesions)
    assert store.earlier_lesions(database, SERIES) == lesions
    assert store.earlier_lesions(database, "9.9.9") == []


def test_the_job_tells_everything(database, worker):
    job = done_job(database, worker, [lesion()])
    assert (job.state, job.fraction, job.version) == ("done", 1.0, 1)
    assert job.model is not None
    assert (job.model.name, job.model.sha256) == (MODEL.name, MODEL.sha256)
    assert job.timings == {"fetching": 0.5, "segmenting": 2.0}
    assert {result.kind: result.series_instance_uid for result in job.results} == written_series(job.job_id)
    assert all(result.written_at for result in job.results)
    row = job.lesions[0]
    assert (row.first_sop_instance_uid, row.last_sop_instance_uid) == (f"{SERIES}.2", f"{SERIES}.6")
    assert (row.measured_sop_instance_uid, row.measured_frame_number) == (f"{SERIES}.4", None)


def test_frames_of_a_multi_frame_instance_are_kept(database, worker):
    job = running_job(database, worker)
    finish(database, job, worker, [lesion()], slices=[SliceStub("1.2.9", k + 1) for k in range(20)])
    row = store.get_job(database, job.job_id).lesions[0]
    assert (row.first_sop_instance_uid, row.first_frame_number, row.measured_frame_number) == ("1.2.9", 3, 5)


def test_the_newest_version_speaks_for_the_study_though_the_clock_was_set_back(database, worker, monkeypatch):
    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=2)

    with monkeypatch.context() as patch:
        patch.setattr("BDD.outcome_store.datetime", Ahead)
        done_job(database, worker, [lesion(1, volume_mm3=500)])
    done_job(database, worker, [lesion(1, volume_mm3=700), lesion(2)])
    shown = store.study_lesions(database, STUDY)
    assert [one.finding.lesion.volume_mm3 for one in shown] == [700, 500]


def test_a_new_version_replaces_the_earlier_one(database, worker):
    first = done_job(database, worker, [lesion(1), lesion(2)])
    job = running_job(database, worker)
    replaced = finish(database, job, worker, [lesion(1, volume_mm3=700)])
    assert set(replaced) == set(written_series(first.job_id).values()) == set(store.results_to_retire(database))
    assert store.get_job(database, job.job_id).version == 2
    volumes = [found.measurement.volume_mm3 for found in store.earlier_lesions(database, SERIES)]
    assert volumes == [700, 500], "what is there now, then what was once"
    assert len(store.get_job(database, first.job_id).lesions) == 2, "the earlier version is still known"
    third = running_job(database, worker)
    assert set(finish(database, third, worker, [])) == set(written_series(job.job_id).values())
    assert store.results_to_retire(database) != [], "a version without lesions is current all the same"
    volumes = [found.measurement.volume_mm3 for found in store.earlier_lesions(database, SERIES)]
    assert volumes == [700, 500], "each as it was last"


def test_a_failed_job_changes_no_lesion(database, worker):
    done_job(database, worker, [lesion()])
    job = running_job(database, worker)
    store.record_failure(database, job.job_id, worker, store.Problem("t", "t", 500, "d"))
    assert len(store.earlier_lesions(database, SERIES)) == 1
    assert store.results_to_retire(database) == []


def test_other_series_are_left_alone(database, worker):
    done_job(database, worker, [lesion()])
    done_job(database, worker, [lesion()], series="1.2.3.1.2")
    assert store.results_to_retire(database) == []
    assert len(store.earlier_lesions(database, SERIES)) == 1
    assert (count(database, Series), count(database, Study), count(database, Patient)) == (2, 1, 1)


def test_new_pictures_take_the_place_of_those_of_the_same_series_only(database, worker):
    lesions = []
    for series, png in [(SERIES, b"old"), ("1.2.3.1.2", b"another"), (SERIES, b"new")]:
        job = running_job(database, worker, series=series)
        finish(database, job, worker, [lesion()], pictures={1: png})
        lesions += [one.id for one in store.get_job(database, job.job_id).lesions]
    assert sorted(store.key_images(database, lesions).values()) == [b"another", b"new"]


def test_all_or_nothing(database, worker):
    """Two lesions with one label break a constraint after patient, series and model were made: none of it stays."""
    job = running_job(database, worker)
    before = [count(database, table) for table in (Patient, Study, Series, Model, LesionRow)]
    with pytest.raises(Exception, match="UNIQUE"):
        finish(database, job, worker, [lesion(1), lesion(1, tracking_uid="2.25.9")])
    assert [count(database, table) for table in (Patient, Study, Series, Model, LesionRow)] == before
    assert store.get_job(database, job.job_id).state == "writing"


def test_an_outcome_belongs_to_a_job_that_is_writing(database, worker):
    job = running_job(database, worker, state="measuring")
    with pytest.raises(store.JobLostError, match="is measuring, not writing"):
        store.record_outcome(
            database,
            job.job_id,
            worker,
            series=series_record(),
            slices=SLICES,
            lesions=[],
            model=MODEL,
            written=[],
            timings={},
            label_map=None,
            pictures={},
            content=None,
            following=None,
        )


def test_same_patient_two_studies(database, worker):
    done_job(database, worker, [])
    job = running_job(database, worker, study="1.2.4", series="1.2.4.1")
    corrected = {"patient_name": "Doe^Jane^B", "patient_birth_date": date(1961, 1, 1), "patient_sex": "O"}
    record = series_record(study_instance_uid="1.2.4", series_instance_uid="1.2.4.1", **corrected)
    finish(database, job, worker, [], series=record)
    with database.reading() as session:
        patient = session.query(Patient).one()
        assert {name: getattr(patient, name) for name in corrected} == corrected
    assert count(database, Study) == 2


def test_a_corrected_patient_id_moves_the_study(database, worker):
    done_job(database, worker, [])
    finish(database, running_job(database, worker), worker, [], series=series_record(patient_id="B-1"))
    with database.reading() as session:
        assert session.query(Study).one().patient.patient_id == "B-1"


def test_studies_without_patient_id_are_not_one_patient(database, worker):
    for study in ("1.5", "1.6", "1.5"):
        job = running_job(database, worker, study=study, series=f"{study}.1")
        record = series_record(patient_id=None, study_instance_uid=study, series_instance_uid=f"{study}.1")
        finish(database, job, worker, [], series=record)
    assert (count(database, Patient), count(database, Study), count(database, Result)) == (2, 2, 6)


def test_a_study_that_loses_its_patient_id_leaves_its_patient(database, worker):
    for study in ("1.5", "1.6"):
        job = running_job(database, worker, study=study, series=f"{study}.1")
        record = series_record(study_instance_uid=study, series_instance_uid=f"{study}.1")
        finish(database, job, worker, [lesion()], series=record)
    nobody = replace(record, patient_id=None, patient_name="Nobody")
    finish(database, running_job(database, worker, study="1.6", series="1.6.1"), worker, [lesion()], series=nobody)
    with database.reading() as session:
        known = {study.study_instance_uid: study.patient for study in session.query(Study)}
        assert (known["1.5"].patient_id, known["1.5"].patient_name) == ("A-0042", "Doe^Jane")
        assert (known["1.6"].patient_id, known["1.6"].patient_name) == (None, "Nobody")


def test_one_row_per_model(database, worker):
    done_job(database, worker, [])
    for model in (MODEL, replace(MODEL, version="2.0"), replace(MODEL, sha256="cd" * 32)):
        finish(database, running_job(database, worker), worker, [], model=model)
    assert count(database, Model) == 3


def test_only_a_superseded_series_can_be_retired(database, worker):
    job = done_job(database, worker, [])
    store.record_retired(database, written_series(job.job_id)["SEG"])
    assert store.get_job(database, job.job_id).results[0].retired_at is None


def test_series_record_of_a_header():
    header = Dataset()
    header.PatientID, header.PatientName = "0042 ", "Dupont\0^Zoé"
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2", "1.2.3"
    header.StudyDate, header.PatientBirthDate, header.Modality = "20240506", "19601340", "MR"
    record = store.SeriesRecord.from_header(header)
    assert record.patient_id == "0042", "PatientID is a string and keeps its zeros"
    assert record.patient_name == "Dupont^Zoé", "no database keeps the character 0"
    assert (record.study_date, record.patient_birth_date) == (date(2024, 5, 6), None)
    assert (record.series_description, record.patient_sex) == ("", None)


def test_an_empty_patient_id_is_none():
    header = Dataset()
    header.PatientID = ""
    assert store.SeriesRecord.from_header(header).patient_id is None


def test_the_date_of_a_study_is_that_of_the_series_that_speaks_for_it(database, worker):
    """Written again one after the other, two series with two dates must not change the order of visits for ever."""
    first, second = date(2024, 5, 6), date(2024, 8, 9)

    def done(series, study_date, purpose=SEGMENT):
        job = running_job(database, worker, series=series, purpose=purpose)
        finish(
            database, job, worker, [lesion()], series=series_record(series_instance_uid=series, study_date=study_date)
        )
        follow_again(database)

    def known():
        with database.reading() as session:
            return (
                session.query(Study.study_date, Patient.unfollowed_at.is_not(None)).join(Study.patient).one()._tuple()
            )

    done("1.2.1", first)
    done("1.2.2", second)
    assert known() == (second, False)
    done("1.2.1", first, RELABEL)
    assert known() == (second, False)
    job = running_job(database, worker, series="1.2.2", purpose=RELABEL)
    corrected = series_record(series_instance_uid="1.2.2", study_date=first)
    finish(database, job, worker, [lesion()], series=corrected)
    assert known() == (first, True), "in this order the visits were never followed"
