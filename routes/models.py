"""GET /models: the networks there are, how good they were measured to be, and why others cannot be used."""

from flask import Blueprint, Response, jsonify

from results.context import NOTICE
from routes.context import context
from routes.openapi import describe

blueprint = Blueprint("models", __name__)


@blueprint.get("/models")
@describe(
    "List the models",
    {200: ("The models; the default is used when a request names none", "Models")},
    text="As they are on disk now: a worker takes a changed model up with its next job.",
    tag="Models",
)
def models() -> Response:
    """List the models."""
    found = context().models
    return jsonify(
        models=[{**info.to_json(), "default": name == found.default} for name, info in found.models.items()],
        refused=[
            {"name": name, "reason": reason, "default": found.default is None and name == found.folder}
            for name, reason in found.refused.items()
        ],
        default=found.default,
        notice=NOTICE,
    )
