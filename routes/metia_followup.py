"""What the published MetIA front-end reads: the archive's studies, and the follow-up in flat lists."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, jsonify, request

from BDD import store
from results.palette import rgb
from routes.context import context
from routes.metia import ERROR, TAG, error_response
from routes.openapi import Parameters, describe
from routes.problems import ProblemError
from routes.schemas.words import IN_ADDRESS

blueprint = Blueprint("metia_followup", __name__)
blueprint.register_error_handler(Exception, error_response)

View = TypeVar("View", bound=Callable[..., Any])
_ORTHANC_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")


def _list_of(summary: str, schema: str, query: Parameters | None = None) -> Callable[[View], View]:
    return describe(summary, {200: ("All of them", schema)}, tag=TAG, error=ERROR, query=query)


def _only(name: str, of: str) -> Parameters:
    return {name: {**IN_ADDRESS, "description": f"Only those of this {of}"}}


@blueprint.get("/getAllStudies")
@_list_of("List Orthanc's names of its studies", "OrthancStudies")
def all_studies() -> Response:
    """List studies."""
    return jsonify(context().archive.study_identifiers())


@blueprint.get("/getStudy/<identifier>")
@describe("See a study by Orthanc's name", {200: ("As Orthanc has it", "OrthancStudy")}, tag=TAG, error=ERROR)
def study(identifier: str) -> Response:
    """Show a study."""
    if not _ORTHANC_NAME.fullmatch(identifier):
        raise ProblemError(404, "study-not-found", "Study not found", "This is no name that Orthanc gives a study.")
    return jsonify(context().archive.study(identifier))


@blueprint.get("/followup-patients")
@_list_of("List the patients that were segmented", "MetiaPatients")
def patients() -> Response:
    """List patients."""
    return jsonify(
        [
            {
                "id": name,
                "name": patient.patient_name,
                "date": patient.patient_birth_date.isoformat() if patient.patient_birth_date else "",
                "sexe": patient.patient_sex or "",
            }
            for name, patient in store.metia_patients(context().database)
        ]
    )


@blueprint.get("/followup-etudes")
@_list_of("List their studies", "MetiaStudies", _only("idPatient", "patient"))
def studies() -> Response:
    """List studies."""
    patient = request.args.get("idPatient")
    return jsonify(
        [
            {
                **({} if patient is not None else {"id": name}),
                "id_study": study.study_instance_uid,
                "date": study.study_date.isoformat() if study.study_date else "",
            }
            for name, study in store.metia_studies(context().database, patient)
        ]
    )


@blueprint.get("/followup-series")
@_list_of("List the series of lesions", "MetiaSeriesList", _only("idEtude", "study"))
def series() -> Response:
    """List series."""
    found = store.metia_series(context().database, request.args.get("idEtude"))
    return jsonify([{"series_instance_uid": name, "study_instance_uid": study} for name, study in found])


@blueprint.get("/followup-metastases")
@_list_of("List the lesions", "MetiaMetastases", _only("idSeries", "series"))
def metastases() -> Response:
    """List lesions."""
    named = request.args.get("idSeries")
    return jsonify(
        [
            {
                "id": roi.lesion.id,
                "roiNumber": roi.lesion.label,
                "nom_metastase": roi.name,
                "volume": roi.lesion.volume_mm3 / 1000,
                "diametre": roi.lesion.longest_diameter_mm,
                "slice_debut": roi.lesion.first_slice + 1,
                "slice_fin": roi.lesion.last_slice + 1,
                "color": "[{} {} {}]".format(*rgb(roi.lesion.number)),
                **({} if named is not None else {"series_instance_uid": roi.series_instance_uid}),
            }
            for roi in store.metia_rois(context().database, named)
        ]
    )
