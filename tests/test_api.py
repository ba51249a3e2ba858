"""The app as a whole: no torch, errors as who asks reads them, no strangers' pages, a description that stays true."""

import io
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from flask import abort

import api
from Orthanc import multipart
from routes.openapi import build
from settings import ROOT, SettingsError, load_settings
from tests.api_factory import MR, STUDY, ApiSite


@pytest.fixture
def site(tmp_path):
    site = ApiSite(tmp_path)
    yield site
    site.close()


def problem(response):
    assert response.content_type == "application/problem+json"
    document = response.get_json()
    assert document["status"] == response.status_code
    assert set(document) >= {"type", "title", "detail", "what_to_do", "instance"}
    return document


def test_torch_is_never_imported(tmp_path):
    code = (
        "import sys\nfrom api import create_app\nfrom settings import load_settings\n"
        f"app = create_app(load_settings({{'VAR_DIR': {str(tmp_path)!r}}}, None))\n"
        "for path in ('/', '/docs', '/openapi.json', '/health', '/jobs'):\n"
        "    assert app.test_client().get(path).status_code == 200, path\n"
        "print(sorted({'torch', 'monai', 'lightning', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("get", "/nothing", 404), ("put", "/segment", 405), ("post", "/jobs", 405), ("get", "/jobs/", 404)],
)
def test_wrong_addresses(site, method, path, status):
    assert problem(getattr(site.client, method)(path))["status"] == status


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("path", "host", "status", "words"),
    [
        ("/nope", "localhost", 404, "See /docs for the addresses there are."),
        ("/follow-up/abc", "localhost", 404, "See /docs for the addresses there are."),
        ("/patients/99/report.pdf", "localhost", 404, "There is no patient 99."),
        ("/jobs?limit=%3Cb%3E", "localhost", 400, "<p>limit = &#39;&lt;b&gt;&#39; is not usable"),
        ("/health", "evil.example", 403, "TRUSTED_HOSTS"),
    ],
)
def test_a_person_reads_what_is_wrong_on_a_page(site, path, host, status, words):
    answer = site.client.get(path, headers={"Accept": BROWSER, "Host": host})
    assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8")
    assert f"Error {status}" in answer.get_data(True)
    assert words in answer.get_data(True)
    assert "Accept" in answer.vary
    assert site.client.head(path, headers={"Accept": BROWSER, "Host": host}).content_type == answer.content_type
    assert answer.headers["Content-Security-Policy"] == api._POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    program = site.client.get(path, headers={"Accept": "*/*", "Host": host})
    assert problem(program)["status"] == status
    assert "Accept" in program.vary


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0.5, application/json", ""])
def test_a_program_gets_a_document(site, accept):
    problem(site.client.get("/nope", headers={"Accept": accept}))


def test_what_is_no_page_is_answered_with_a_document(site):
    problem(site.client.post("/segment", data="x", headers={"Accept": BROWSER}))


@pytest.mark.parametrize(("path", "right"), [("/ohif?x=1", "/ohif/?x=1"), ("/jobs//x", "/jobs/x")])
def test_an_address_that_is_nearly_right_leads_on_whatever_is_spoken_in_front(site, path, right):
    answer = site.client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (308, right)


def test_a_wrong_method_names_the_right_ones(site):
    assert "POST" in site.client.get("/segment").headers["Allow"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'"' + b"x" * (1 << 20) + b'"', "application/json", 413),
    ],
)
def test_wrong_bodies(site, body, content_type, status):
    response = site.client.post("/segment", data=body, content_type=content_type)
    assert problem(response)["status"] == status


@pytest.mark.parametrize("number", [str(2**63), "9" * 30, "9" * 5000])
def test_there_is_nothing_of_a_number_that_no_database_gives(site, number):
    for method, path in (
        ("get", f"/patients/{number}/timeline"),
        ("get", f"/patients/{number}/report.pdf"),
        ("get", f"/follow-up/{number}"),
        ("post", f"/changes/{number}/undo"),
        ("patch", f"/lesions/{number}"),
    ):
        assert problem(site.client.open(path, method=method, json={"version": 1, "target": True}))["status"] == 404
    assert problem(site.client.get(f"/patients/{2**63 - 1}/timeline"))["type"].endswith("patient-not-found")


@pytest.mark.parametrize("character", ["%00", "%01", "%0A", "%1b", "%7F", "%C2%85"])
def test_no_address_holds_control_characters(site, character):
    """PostgreSQL refuses some of them in any text, SQLite finds nothing; here both say the same."""
    for path in (f"/jobs/{character}", f"/nothing{character}", f"/jobs?state={character}", f"/jobs?{character}=1"):
        assert "control character" in problem(site.client.get(path))["detail"]
    for path in (f"/followup-series?idEtude=x&idEtude={character}", f"/followup-metastases?idSeries={character}"):
        answer = site.client.get(path)
        assert (answer.status_code, list(answer.get_json())) == (400, ["error"])


def test_a_tab_in_what_is_searched_for_is_none(site):
    assert site.client.get("/follow-up?q=Doe%09Jane%20%C3%A9").status_code == 200


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000])
def test_json_that_is_nested_too_deeply_is_no_valid_json(site, text):
    for path in ("/segment", "/visits/1.2.3/assessment"):
        assert problem(site.client.post(path, data=text, content_type="application/json"))["status"] == 400
    answer = site.client.post("/rename-roi", data=text, content_type="application/json")
    assert (answer.status_code, list(answer.get_json())) == (400, ["error"])


def test_a_burst_shows_nothing_of_the_inside(site, caplog):
    @site.app.get("/burst")
    def burst():
        raise RuntimeError("secret of the house")

    document = problem(site.client.get("/burst"))
    assert document["status"] == 500
    assert "secret" not in json.dumps(document)
    assert "secret of the house" in caplog.text


def test_an_abort_of_any_library_is_a_problem(site):
    site.app.add_url_rule("/busy", view_func=lambda: abort(503, "come back later"))
    assert problem(site.client.get("/busy"))["detail"] == "come back later"


def test_no_origin_may_call_unless_named(tmp_path):
    site = ApiSite(tmp_path)
    ask = {"Origin": "http://viewer.example"}
    assert "Access-Control-Allow-Origin" not in site.client.get("/health", headers=ask).headers
    site.close()


def test_a_named_origin_may_call(tmp_path):
    site = ApiSite(tmp_path, CORS_ORIGINS="http://viewer.example")
    answer = site.client.get("/health", headers={"Origin": "http://viewer.example"}).headers
    assert answer["Access-Control-Allow-Origin"] == "http://viewer.example"
    assert answer["Access-Control-Expose-Headers"] == "Location"
    stranger = site.client.get("/health", headers={"Origin": "http://evil.example"}).headers
    assert "Access-Control-Allow-Origin" not in stranger
    site.close()


@pytest.mark.parametrize(
    ("named", "origin", "allowed"),
    [
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("http://[::1]:3000", "http://1:3000", False),
        ("http://viewer.example:3000", "HTTP://Viewer.example:3000", True),
        ("http://viewer.example:3000", "http://viewer_example:3000", False),
        ("http://viewer.example", "http://viewer.example.evil.example", False),
        ("http://viewer.example", "http://viewer.example\n", False),
    ],
)
def test_an_origin_is_met_as_it_is_written(tmp_path, named, origin, allowed):
    site = ApiSite(tmp_path, CORS_ORIGINS=f"{named},http://other.example")
    environ = {"HTTP_ORIGIN": origin}
    answer = site.client.get("/health", environ_overrides=environ).headers
    assert answer.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert ("Origin" in answer.get("Vary", "")) is allowed
    site.close()


def test_answers_are_not_kept_and_load_nothing(site):
    headers = site.client.get("/docs").headers
    assert headers["Cache-Control"] == "no-store"
    policy = [part.strip() for part in headers["Content-Security-Policy"].split(";")]
    assert {"default-src 'none'", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= {*policy}


def test_nginx_has_the_same_policy_for_what_it_passes_on(site):
    policy = site.client.get("/docs").headers["Content-Security-Policy"]
    assert f'Content-Security-Policy\n                "{policy}"' in (ROOT / "Orthanc" / "nginx.conf").read_text()


def test_temporary_files_lie_with_what_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    settings = load_settings({"VAR_DIR": str(tmp_path / "var")}, None)
    api.keep_spool(settings)
    assert tempfile.gettempdir() == str(tmp_path / "var" / "spool")
    with tempfile.TemporaryFile() as file:
        file.write(b"patient")
        assert list(settings.spool_dir.iterdir()) == [], "nothing is left when the process is killed"
    (tmp_path / "spool").touch()
    with pytest.raises(SettingsError, match="VAR_DIR="):
        api.keep_spool(load_settings({"VAR_DIR": str(tmp_path)}, None))


# -- OpenAPI -------------------------------------------------------------------------------------------------------


def test_every_route_is_in_the_document_and_the_other_way_round(site):
    document = site.client.get("/openapi.json").get_json()
    described = {(path, method.upper()) for path, operations in document["paths"].items() for method in operations}
    routed = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in site.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert described == routed
    assert ("/segment", "POST") in described


def test_a_route_that_waits_says_that_it_may_have_ended(site):
    for operations in site.client.get("/openapi.json").get_json()["paths"].values():
        for operation in operations.values():
            if any(parameter["name"] == "wait" for parameter in operation["parameters"]):
                assert {"200", "202"} <= set(operation["responses"]), operation["operationId"]


def test_what_may_be_sent_is_described(site):
    """Of every address that takes something in: the media type of the body, whether it is needed, and the headers."""
    made_on = {"If-Match", "X-User"}
    json_body, form, parts = "application/json", "multipart/form-data", "multipart/related"
    expected = {
        "POST /segment": (json_body, True, set()),
        "POST /jobs/{job_id}/retry": (None, None, set()),
        "PATCH /lesions/{lesion}": (json_body, True, made_on),
        "POST /visits/{study}/assessment": (json_body, True, made_on),
        "POST /changes/{change}/undo": (json_body, False, {"X-User"}),
        "POST /segmentation/{study}": (None, None, set()),
        "POST /uploadDicom": (form, True, set()),
        "POST /rename-roi": (json_body, True, set()),
        "POST /delete-roi": (json_body, True, set()),
        "POST /dicom-web/studies": (parts, True, set()),
        "POST /dicom-web/studies/{study}": (parts, True, set()),
    }
    described = {}
    for path, operations in site.client.get("/openapi.json").get_json()["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {"content": {None: None}, "required": None})
            (media_type,) = body["content"]
            headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
            if method in ("post", "patch", "put"):
                described[f"{method.upper()} {path}"] = (media_type, body["required"], headers)
    assert described == expected


def test_a_body_says_whether_it_may_hold_more(site):
    document = site.client.get("/openapi.json").get_json()
    closed = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for content in references(operation.get("requestBody", {}).get("content", {}).get("application/json", {})):
                name = content.removeprefix("#/components/schemas/")
                answer = site.client.open(re.sub("{.*?}", "1", path), method=method, json={"more": 1})
                described = document["components"]["schemas"][name].get("additionalProperties") is False
                assert ("Unknown: more" in answer.get_data(True)) is described, name
                closed |= {name} if described else set()
    assert closed == {"SegmentRequest", "LesionChange", "AssessmentChange", "Undoing"}


def test_the_numbers_of_queries_are_described_by_the_bounds_that_are_checked(tmp_path):
    site = ApiSite(tmp_path, API_WAIT_MAX="45")
    bounds = {}
    for path, operations in site.client.get("/openapi.json").get_json()["paths"].items():
        for method, operation in operations.items():
            for one in operation["parameters"]:
                schema = one["schema"]
                if one["in"] == "query" and schema.get("type") in ("number", "integer"):
                    (most,) = re.findall("more than (.*) is cut to it", one["description"])
                    bounds[one["name"], path] = (schema["minimum"], schema["default"], int(most))
                    assert "maximum" not in schema, "what is more is taken, too"
                    for said, refused in ((schema["minimum"] - 1, True), (schema["minimum"], False)):
                        address = f"{re.sub('{.*?}', '1', path)}?{one['name']}={said}"
                        told = site.client.open(address, method=method, json={"StudyInstanceUID": STUDY}).get_data(True)
                        assert ("number of at least" in told) is refused, address
    assert bounds == {
        ("wait", "/segment"): (0, 0, 45),
        ("wait", "/jobs/{job_id}"): (0, 0, 45),
        ("wait", "/jobs/{job_id}/retry"): (0, 0, 45),
        ("limit", "/jobs"): (1, 100, 500),
        ("limit", "/patients"): (1, 1000, 100_000),
        ("limit", "/patients/{patient}/changes"): (1, 200, 100_000),
    }
    site.close()


def test_what_an_address_holds_is_described_as_what_it_is(site):
    paths = site.client.get("/openapi.json").get_json()["paths"]
    kinds = {
        (path, one["name"]): one["schema"]["type"] + ("s" if "maxLength" in one["schema"] else "")
        for path, operations in paths.items()
        for operation in operations.values()
        for one in operation["parameters"]
        if one["in"] == "path"
    }
    assert kinds["/patients/{patient}/timeline", "patient"] == "integer"
    assert {kind for (_, name), kind in kinds.items() if name == "study"} == {"strings"}


def test_no_address_is_described_to_hold_what_is_refused(site):
    assert problem(site.client.get("/jobs/a%01"))["status"] == 400
    for path, operations in site.client.get("/openapi.json").get_json()["paths"].items():
        for operation in operations.values():
            for one in operation["parameters"]:
                schema = one["schema"]
                if one["in"] != "header" and schema.get("type") == "string" and "enum" not in schema:
                    assert not re.search(schema["pattern"], "1\x01"), (path, one["name"])


def test_a_client_made_from_the_document_can_upload(site):
    document = site.client.get("/openapi.json").get_json()
    ((media_type, content),) = document["paths"]["/uploadDicom"]["post"]["requestBody"]["content"].items()
    (schema,) = references(content)
    described = document["components"]["schemas"][schema.removeprefix("#/components/schemas/")]
    (field,) = described["required"]
    assert described["properties"][field]["items"]["format"] == "binary"
    sent = {field: [(io.BytesIO(multipart.encode(one)), "a.dcm") for one in MR[:2]]}
    assert site.client.post("/uploadDicom", data=sent, content_type=media_type).status_code == 200


def test_every_answer_says_what_it_holds(site):
    """Makers of clients leave out an answer without a schema; 304 is the one that holds nothing."""
    for path, operations in site.client.get("/openapi.json").get_json()["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                assert bool(content) == (status != "304"), path
                assert all(one.get("schema") for one in content.values()), path


def test_headers_that_lead_on_are_described_and_sent(site):
    described = {
        f"{method.upper()} {path} {status}": " ".join(answer["headers"])
        for path, operations in site.client.get("/openapi.json").get_json()["paths"].items()
        for method, operation in operations.items()
        for status, answer in operation["responses"].items()
        if "headers" in answer
    }
    image = "GET /studies/{study}/lesions/{lesion}/image.png"
    etag = {f"{image} 200", f"{image} 304", "PATCH /lesions/{lesion} 200", "POST /visits/{study}/assessment 200"}
    location = {
        f"{asked} {status}"
        for asked in ("POST /segment", "POST /jobs/{job_id}/retry", "DELETE /jobs/{job_id}")
        for status in (200, 202)
    }
    assert described == dict.fromkeys(etag, "ETag") | dict.fromkeys(location, "Location")
    address = site.post().headers["Location"]
    assert site.client.delete(address).headers["Location"] == address
    assert site.client.post(f"{address}/retry").headers["Location"] == address


def test_an_answer_is_of_the_kind_that_is_described(site):
    """Of every address that only reads: what it says of something that is not there, or of everything."""
    document = site.client.get("/openapi.json").get_json()
    asked = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule): rule.rule for rule in site.app.url_map.iter_rules()}
    for path, operations in document["paths"].items():
        if "get" in operations and not path.startswith("/dicom-web"):
            address = re.sub("<.*?>", "1.2.3", re.sub("<int:.*?>", "99", asked[path]))
            answer = site.client.get(address)
            responses = operations["get"]["responses"]
            described = responses.get(str(answer.status_code), responses["default"])["content"]
            assert answer.mimetype in described, address
    for address, path in (
        ("/follow-up?StudyInstanceUID=1.2.3", "/follow-up"),
        (f"/follow-up/{2**63}", "/follow-up/{patient}"),
        ("/static/follow_up_entries.js", "/static/{name}"),
    ):
        answer = site.client.get(address)
        assert answer.mimetype in document["paths"][path]["get"]["responses"][str(answer.status_code)]["content"]


def test_what_is_text_is_described_as_text(site):
    """Makers of clients take bytes for a file, and fail on a table or a page; and JSON is neither."""
    for path, operations in site.client.get("/openapi.json").get_json()["paths"].items():
        for operation in operations.values():
            for answer in operation["responses"].values():
                for media_type, content in answer.get("content", {}).items():
                    is_bytes = content["schema"].get("format") == "binary"
                    is_text = media_type.startswith("text/") or "json" in media_type
                    assert is_bytes is not is_text, (path, media_type)


def test_a_route_without_description_does_not_start(site):
    site.app.add_url_rule("/secret", view_func=lambda: "")
    with pytest.raises(LookupError, match="/secret has no @describe"):
        build(site.app, "1")


def holding(key, node):
    """Give the objects of a document that have a member of this name."""
    if isinstance(node, dict):
        if key in node:
            yield node
        for value in node.values():
            yield from holding(key, value)
    elif isinstance(node, list):
        for value in node:
            yield from holding(key, value)


def references(node):
    return (one["$ref"] for one in holding("$ref", node))


def test_every_reference_leads_somewhere(site):
    document = site.client.get("/openapi.json").get_json()
    schemas = document["components"]["schemas"]
    named = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert named == set(schemas), "nothing missing, nothing unused"
    assert len({operation["operationId"] for path in document["paths"].values() for operation in path.values()}) == len(
        [operation for path in document["paths"].values() for operation in path.values()]
    )


def test_an_enumeration_is_described_once_and_with_its_type(site):
    """Makers of clients make a type of each; and nothing of one that may be anything."""
    found = list(holding("enum", site.client.get("/openapi.json").get_json()))
    assert {one.get("type") for one in found} == {"string"}
    values = [one["enum"] for one in found]
    assert [twice for twice in values if values.count(twice) > 1] == []


def test_the_page_shows_every_address_and_needs_no_internet(site):
    page = site.client.get("/docs").get_data(as_text=True)
    document = site.client.get("/openapi.json").get_json()
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page
    for name, schema in document["components"]["schemas"].items():
        assert f'id="{name}"' in page or not schema.get("properties")
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)
    assert "<script" not in page
    for anchor in re.findall(r'href="#(\w+)"', page):
        assert f'id="{anchor}"' in page or anchor == "OpenAPI", anchor


def test_the_page_tells_bounds_and_what_holds_unless_said(site):
    page = site.client.get("/docs").get_data(as_text=True)
    known = ("integer, at least 1; 100 unless said", "</a> or null", "at most 4000 characters")
    for words in known:
        assert words in page
    assert "<p>improved | stable | worse</p>" in page


def test_the_index_links_exist(site):
    page = site.client.get("/").get_data(as_text=True)
    for link in re.findall(r'href="(/[^"]*)"', page):
        assert site.client.get(link).status_code in (200, 503), link


def test_templates_are_where_the_app_looks():
    assert Path(ROOT, "web", "templates", "docs.html").is_file()
