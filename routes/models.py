"""GET /models: the networks there are, how good they were measured to be, and on what."""

from flask import Blueprint, Response, jsonify

from routes.context import context
from routes.job_json import NOTICE
from routes.openapi import describe
from segmentation import find_models

blueprint = Blueprint("models", __name__)


@blueprint.get("/models")
@describe(
    "List the models",
    {
        200: ("The models; the default is used when a request names none", "Models"),
        503: ("MODEL_PATH is unusable", None),
    },
    tag="Models",
)
def models() -> Response:
    """List the models."""
    found = find_models(context().settings.model_path)
    return jsonify(models=[info.to_json() for info in found.values()], default=next(iter(found)), notice=NOTICE)
