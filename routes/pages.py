"""/openapi.json, the page /docs made from it, and a small index; nothing here needs the internet."""

from flask import Blueprint, Response, current_app, jsonify, render_template

from routes.openapi import build, describe

blueprint = Blueprint("pages", __name__)

VERSION = "0.1.0"


@blueprint.get("/openapi.json")
@describe("This API as OpenAPI 3.1", {200: ("The document", "OpenAPI")}, tag="About")
def openapi() -> Response:
    """Give the OpenAPI document."""
    return jsonify(build(current_app, VERSION))


@blueprint.get("/docs")
@describe("This API as a page", {200: ("The page", None)}, tag="About")
def docs() -> str:
    """Show the OpenAPI document as a page."""
    return render_template("docs.html", spec=build(current_app, VERSION))


@blueprint.get("/")
@describe("Where to go from here", {200: ("A page of links", None)}, tag="About")
def index() -> str:
    """Show what there is."""
    return render_template("index.html", version=VERSION)
