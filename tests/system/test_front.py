"""One origin for viewer, API and images: the API alone, and nginx in front of it, on a real Orthanc."""

import os
import socket
import ssl
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import Dataset
from pydicom.uid import generate_uid

from Orthanc import multipart
from services import front
from services.processes import Services, free_port
from settings import Settings, load_settings
from tests import factory
from tests.system.conftest import RunningOrthanc
from tests.system.processes import ServerSite

pytestmark = pytest.mark.system

NAME = "Front^Müller"
OCTETS = 'multipart/related; type="application/octet-stream"'


def need_nginx() -> None:
    if front.find_nginx() is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, orthanc: RunningOrthanc) -> Iterator[ServerSite]:
    folder = tmp_path_factory.mktemp("front, Klinik Süd")  # nginx splits at spaces
    ohif = folder / "ohif"
    ohif.mkdir()
    (ohif / "index.html").write_text("<!doctype html><title>OHIF</title>")
    site = ServerSite(
        folder,
        orthanc,
        folder / "no-model",
        OHIF_DIR=str(ohif),
        FRONT_PORT=str(free_port(28180)),
        TRUSTED_HOSTS="metia.hospital.example",
    )
    site.start_api()
    yield site
    site.close()


@pytest.fixture(scope="module")
def settings(site: ServerSite) -> Settings:
    return load_settings(site.environ, None)


@pytest.fixture(scope="module", params=["api", "nginx"])
def origin(request: pytest.FixtureRequest, site: ServerSite, settings: Settings, tmp_path_factory) -> Iterator[str]:
    """The address of either front."""
    if request.param == "api":
        yield site.url
        return
    need_nginx()
    with Services(tmp_path_factory.mktemp("log")) as services:
        yield front.url(front.start(services, settings))


@pytest.fixture(scope="module")
def series(origin: str, orthanc: RunningOrthanc) -> list[Dataset]:
    """Instances of several MB together, stored through the front as the viewer's upload does."""
    datasets = factory.series_datasets(
        factory.volume(shape=(40, 192, 192), spacing=(2.0, 1.0, 1.0)),
        patient_id=f"FRONT-{generate_uid()[-6:]}",
        patient_name=NAME,
        study_instance_uid=generate_uid(),
        series_instance_uid=generate_uid(),
    )
    store(origin, datasets)
    return datasets


def store(origin: str, datasets: list[Dataset], **more: Any) -> None:
    (body,) = multipart.batches(map(multipart.encode, datasets), 1 << 30)
    answer = requests.post(
        f"{origin}/dicom-web/studies",
        data=body,
        headers={"Content-Type": multipart.CONTENT_TYPE, "Accept": "application/dicom+json"},
        timeout=120,
        **more,
    )
    assert answer.status_code == 200, answer.text


def test_a_query_as_the_viewer_sends_it(origin: str, series: list[Dataset]) -> None:
    query = f"PatientName=%2AFront%5E%2A&PatientID={series[0].PatientID}&includefield=00081030%2C00080060&limit=101"
    answer = requests.get(f"{origin}/dicom-web/studies?{query}", timeout=30)
    (found,) = answer.json()
    assert found["0020000D"]["Value"] == [series[0].StudyInstanceUID]
    assert found["00081030"]["Value"] == [series[0].StudyDescription]
    assert found["00081190"]["Value"][0].startswith(f"{origin}/dicom-web/studies/")


def test_a_series_arrives_as_it_was_sent(origin: str, series: list[Dataset]) -> None:
    answer = arrives(origin, series)
    assert "no-store" in answer.headers["Cache-Control"]


def arrives(origin: str, series: list[Dataset], auth: tuple[str, str] | None = None) -> requests.Response:
    """Fetch a series, and see that it is the one that was stored."""
    address = f"{origin}/dicom-web/studies/{series[0].StudyInstanceUID}/series/{series[0].SeriesInstanceUID}"
    with requests.get(address, headers={"Accept": multipart.ACCEPT}, stream=True, timeout=60, auth=auth) as answer:
        assert answer.status_code == 200
        fetched = {one.SOPInstanceUID: one.PixelData for one in multipart.split(answer.iter_content(1 << 16))}
    assert fetched == {one.SOPInstanceUID: one.PixelData for one in series}
    return answer


def test_a_frame_and_the_metadata(origin: str, series: list[Dataset]) -> None:
    one = series[7]
    address = (
        f"{origin}/dicom-web/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}"
        f"/instances/{one.SOPInstanceUID}"
    )
    frame = requests.get(f"{address}/frames/1", headers={"Accept": OCTETS}, timeout=30)
    assert one.PixelData in frame.content
    assert frame.headers["Content-Type"].startswith("multipart/related")
    (metadata,) = requests.get(f"{address}/metadata", timeout=30).json()
    assert metadata["00080018"]["Value"] == [one.SOPInstanceUID]
    assert requests.get(f"{address[:-1]}/metadata", timeout=30).status_code in (200, 404)


def test_what_is_too_large_for_the_metadata_is_where_they_say(origin: str) -> None:
    """As a colour table: without it OHIF shows black."""
    (one,) = factory.series_datasets(factory.volume(shape=(1, 16, 16)), series_instance_uid=generate_uid())
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    one.RedPaletteColorLookupTableData = bytes(range(256)) * 2
    store(origin, [one])
    series = f"{origin}/dicom-web/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}"
    (metadata,) = requests.get(f"{series}/metadata", timeout=30).json()
    address = metadata["00281201"]["BulkDataURI"]
    assert address.startswith(f"{series}/")
    assert one.RedPaletteColorLookupTableData in requests.get(address, timeout=30).content


def test_pages_of_the_viewer_and_the_api(origin: str) -> None:
    assert "OHIF" in requests.get(f"{origin}/ohif/viewer", timeout=10).text
    assert requests.get(f"{origin}/health", timeout=10).json() == {"status": "alive"}


@pytest.mark.parametrize("path", ["system", "instances", "dicom-web/servers", "studies", "app/explorer.html"])
def test_nothing_else_of_orthanc_is_reached(origin: str, path: str) -> None:
    answer = requests.get(f"{origin}/{path}", timeout=10)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_dot_segments_lead_nowhere(origin: str, series: list[Dataset]) -> None:
    session = requests.Session()
    for path in ("/dicom-web/studies/../../system", f"/dicom-web/studies/{series[0].StudyInstanceUID}/../../../system"):
        request = session.prepare_request(requests.Request("GET", origin))
        request.url = origin + path  # as it is: requests would tidy it up
        assert session.send(request, timeout=10).status_code == 404


def test_under_a_name_that_somebody_points_here_nothing_is_read(origin: str, series: list[Dataset]) -> None:
    """The names are the API's to know, but images come from Orthanc past it."""
    study = f"{origin}/dicom-web/studies/{series[0].StudyInstanceUID}"
    one = f"{study}/series/{series[0].SeriesInstanceUID}/instances/{series[0].SOPInstanceUID}"
    port = origin.rpartition(":")[2]
    for _ in range(2):  # the second time from what nginx remembers
        for path in (study, f"{study}/metadata", f"{one}/frames/1", f"{origin}/patients", f"{origin}/ohif/"):
            answer = requests.get(path, headers={"Host": f"evil.example:{port}"}, timeout=30)
            assert answer.status_code == 403, path
            assert "TRUSTED_HOSTS" in answer.json()["what_to_do"]
    for host in (f"localhost:{port}", f"10.1.2.3:{port}", f"[::1]:{port}", f"metia.hospital.example:{port}"):
        assert requests.get(f"{study}/metadata", headers={"Host": host}, timeout=30).ok, host


def test_a_page_of_another_origin_stores_nothing(origin: str, series: list[Dataset]) -> None:
    study = f"{origin}/dicom-web/studies/{series[0].StudyInstanceUID}"
    for kind in ({}, {"Content-Type": multipart.CONTENT_TYPE}):
        headers = {"Origin": "https://evil.example", **kind}
        for path in (study, f"{origin}/dicom-web/studies", f"{study}/metadata"):
            answer = requests.post(path, data=b"x", headers=headers, timeout=30)
            assert answer.status_code == 403, path
            assert "CORS_ORIGINS" in answer.json()["what_to_do"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("body", [b"x" * 20, b"GET /system HTTP/1.1\r\nX: "])
def test_a_body_that_a_question_has_no_use_for_spoils_no_other(
    origin: str, series: list[Dataset], body: bytes, *, chunked: bool
) -> None:
    """Connections to Orthanc are shared: the rest of one request would be the beginning of somebody else's."""
    for path in ("studies", f"studies/{series[0].StudyInstanceUID}/metadata"):
        address = f"{origin}/dicom-web/{path}"
        whole = requests.get(address, timeout=30).json()
        for _ in range(8):  # the API has a connection for each of its threads
            sent = iter([body]) if chunked else body
            assert requests.get(address, data=sent, timeout=30).json() == whole, path
            assert requests.get(address, timeout=30).json() == whole, path


def test_what_orthanc_repeats_of_an_address_is_no_page(origin: str) -> None:
    form = "%3Cform%20action=https:evil.example%3E"
    for path in (f"metadata/{form}", f"foo{form}", f"series/1/instances/1/frames/1/{form}"):
        answer = requests.get(f"{origin}/dicom-web/studies/1/{path}", timeout=30)
        assert answer.status_code >= 400
        assert answer.headers["Content-Type"] == "application/problem+json", path
        assert answer.json()["status"] == answer.status_code


def test_whatever_it_is_no_browser_takes_it_for_a_page(origin: str, series: list[Dataset]) -> None:
    one = series[0]
    study = f"{origin}/dicom-web/studies/{one.StudyInstanceUID}"
    for path in ("", "/metadata", f"/series/{one.SeriesInstanceUID}/instances/{one.SOPInstanceUID}/frames/1"):
        headers = requests.get(f"{study}{path}", timeout=60).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "form-action 'none'" in headers["Content-Security-Policy"], path


def test_no_credentials_come_back(origin: str, orthanc: RunningOrthanc) -> None:
    for path in ("dicom-web/studies?limit=1", "dicom-web/studies/1.2.3.4/metadata"):
        answer = requests.get(f"{origin}/{path}", timeout=10)
        said = f"{answer.headers} {answer.text}"
        assert orthanc.password not in said
        assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("wrong", [{"orthanc_url": "http://127.0.0.1:9"}, {"orthanc_password": "wrong"}])
def test_nginx_says_in_words_what_is_amiss_with_orthanc(
    site: ServerSite, settings: Settings, tmp_path: Path, wrong: dict[str, str]
) -> None:
    need_nginx()
    keys = {key.upper(): value for key, value in wrong.items()}
    other = ServerSite(
        tmp_path, RunningOrthanc(settings.orthanc_url, settings.orthanc_username, ""), tmp_path, **site.environ | keys
    )
    other.url = other.url.rpartition(":")[0] + f":{free_port(15100)}"
    other.environ |= {"API_PORT": other.url.rpartition(":")[2], "VAR_DIR": str(tmp_path / "var")}
    try:
        other.start_api()
        with Services(tmp_path / "log") as services:
            started = front.start(services, replace(load_settings(other.environ, None), **wrong))  # type: ignore[arg-type]
            answer = requests.get(
                f"{front.url(started)}/dicom-web/studies/1.2.3/metadata?PatientName={NAME}", timeout=30
            )
        logged = (tmp_path / "log" / "nginx.log").read_text(encoding="utf-8")
        assert "PatientName" not in logged
        assert answer.status_code == 502
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert ("ORTHANC_PASSWORD" if "orthanc_password" in wrong else "running") in answer.json()["detail"]
    finally:
        other.close()


def test_no_more_is_taken_than_an_address_has_use_for(origin: str) -> None:
    """Said before anything is sent: what is taken whole fills memory or disk, whatever is said of it then."""
    for path, size in (
        *((path, 2_000_000) for path in ("segment", "jobs/x/retry", "nothing", "dicom-web/studies/1.2.3/metadata")),
        *((path, (2 << 30) + 1) for path in ("uploadDicom", "dicom-web/studies", "dicom-web/studies/1.2.3")),
    ):
        with socket.create_connection(("127.0.0.1", int(origin.rpartition(":")[2])), timeout=30) as connection:
            head = f"POST /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n"
            connection.sendall(head.encode())
            answer = connection.recv(1 << 16).decode()
        assert answer.startswith("HTTP/1.1 413 "), path
        assert "Content-Type: application/problem+json" in answer
    for path in ("uploadDicom", "dicom-web/studies", "dicom-web/studies/1.2.3"):
        assert requests.post(f"{origin}/{path}", data=bytes(2_000_000), timeout=30).status_code in (400, 415), path


def test_an_upload_is_stored_through_either(origin: str, orthanc: RunningOrthanc) -> None:
    """Of two studies, in several batches, by the published front-end's address; or not at all."""
    sent = [
        one
        for _ in range(2)
        for one in factory.series_datasets(
            factory.volume(shape=(12, 192, 192), spacing=(2.0, 1.0, 1.0)),
            study_instance_uid=generate_uid(),
            series_instance_uid=generate_uid(),
        )
    ]
    one_amiss = [*map(multipart.encode, sent[:-1]), multipart.encode(sent[-1])[:-1]]
    for contents, status, kept in ((one_amiss, 400, 0), ([*map(multipart.encode, sent)], 200, 12)):
        files = [("files[]", (f"{number}.dcm", content)) for number, content in enumerate(contents)]
        answer = requests.post(f"{origin}/uploadDicom", files=files, timeout=120)
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == ({"success"} if kept else {"error"})
        for dataset in (sent[0], sent[-1]):
            held = requests.get(
                f"{origin}/dicom-web/series", params={"SeriesInstanceUID": dataset.SeriesInstanceUID}, timeout=30
            ).json()
            assert [one["00201209"]["Value"] for one in held] == ([[kept]] if kept else [])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are looked at on Linux")
def test_what_is_being_sent_lies_in_private_and_goes_with_the_process(tmp_path: Path, orthanc: RunningOrthanc) -> None:
    site = ServerSite(tmp_path, orthanc, tmp_path / "no-model")
    spool = tmp_path / "var" / "spool"
    try:
        process = site.start_api()
        with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])), timeout=30) as connection:
            head = "POST /uploadDicom HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000000\r\n\r\n"
            connection.sendall(head.encode() + bytes(3_000_000))

            def spooled() -> bool:
                assert process.poll() is None, site.log("api.py")
                links = (
                    str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.is_symlink()
                )
                return any(link.startswith(f"{spool}/") and link.endswith("(deleted)") for link in links)

            site.until(spooled, "the upload lies in VAR_DIR")
            assert list(spool.iterdir()) == []
            process.kill()
            process.wait(30)
        assert list(spool.iterdir()) == []
        assert spool.stat().st_mode & 0o077 == 0
    finally:
        site.close()


def test_https(settings: Settings, tmp_path: Path, site: ServerSite) -> None:
    need_nginx()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    secure = replace(settings, front_certificate=certificate, front_key=key, var_dir=tmp_path)
    with Services(tmp_path / "log") as services:
        address = front.url(front.start(services, secure))
        assert address.startswith("https://")
        for path in ("health", "dicom-web/studies?limit=1"):
            assert requests.get(f"{address}/{path}", verify=str(certificate), timeout=10).ok
        assert "OHIF" in requests.get(f"{address}/ohif", verify=str(certificate), timeout=10).text
        one = factory.series_datasets(factory.volume(shape=(1, 16, 16)), study_instance_uid=generate_uid())[0]
        store(address, [one], verify=str(certificate))
        query = f"{address}/dicom-web/studies?StudyInstanceUID={one.StudyInstanceUID}"
        (found,) = requests.get(query, verify=str(certificate), timeout=10).json()
        assert found["00081190"]["Value"] == [f"{address}/dicom-web/studies/{one.StudyInstanceUID}"]
        for origin, status in ((address, 404), (address.replace("https", "http"), 403)):
            answer = requests.delete(
                f"{address}/jobs/x", headers={"Origin": origin}, verify=str(certificate), timeout=10
            )
            assert answer.status_code == status, origin
        port = int(address.rpartition(":")[2])
        assert _agrees(port, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        assert _agrees(port, ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES256-GCM-SHA384") == "TLSv1.2"
        assert _agrees(port, ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384") is None, "no forward secrecy"
        assert _agrees(port, ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA") is None
        assert _agrees(port, ssl.TLSVersion.TLSv1_1) is None


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """One that nginx gets into: started by root, it reads as another account, which sees no folder of pytest's."""
    with tempfile.TemporaryDirectory(prefix="Klinik Süd ") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def locked(settings: Settings, site: ServerSite, open_folder: Path) -> Iterator[str]:
    """The address of nginx with a login, for anna and bruno."""
    need_nginx()
    users, kinds = open_folder / "users", {"anna": "-6", "bruno": "-apr1"}
    hashed = {name: _openssl("passwd", kind, f"{name}'s password") for name, kind in kinds.items()}
    users.write_text("".join(f"{name}:{text}\n" for name, text in hashed.items()))
    users.chmod(0o644)
    with Services(open_folder / "log") as services:
        yield front.url(front.start(services, replace(settings, front_users=users, var_dir=open_folder)))


def _openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_without_a_login_nothing_is_seen(locked: str, site: ServerSite, series: list[Dataset]) -> None:
    study = f"/dicom-web/studies/{series[0].StudyInstanceUID}"
    one = f"{study}/series/{series[0].SeriesInstanceUID}/instances/{series[7].SOPInstanceUID}"
    paths = ["/", "/ohif/", "/follow-up", "/patients", "/openapi.json", "/dicom-web/studies", f"{study}/metadata"]
    for path in (*paths, f"{one}/frames/1", f"{one}/rendered", "/nothing"):
        for auth in (None, ("anna", "bruno's password"), ("carla", "")):
            for method in ("GET", "POST", "DELETE", "OPTIONS"):
                answer = requests.request(method, f"{locked}{path}", auth=auth, timeout=30)
                assert answer.status_code == 401, (path, auth, method)
                # Twice where the API is to say what is amiss with images: to it, nobody gets without a login either.
                assert set(answer.headers["WWW-Authenticate"].split(", ")) == {'Basic realm="MetIA server"'}
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.json()["title"] == "Unauthorized"
    page = requests.get(f"{locked}/ohif/", headers={"Accept": "text/html"}, timeout=30)
    assert page.status_code == 401
    assert "Log in; who runs the server can add you." in page.text
    assert requests.get(f"{locked}/health", timeout=30).json() == {"status": "alive"}


@pytest.mark.parametrize("dots", ["../..", "..%2f..", "%2e%2e/%2e%2e"])
def test_no_way_leads_around_the_login_by_what_needs_none(locked: str, series: list[Dataset], dots: str) -> None:
    """nginx looks for the lock at what is left of an address without its dots; that alone may go on to the API."""
    session = requests.Session()
    for place in ("/patients/1", "/ohif/viewer", "/dicom-web/studies", "/follow-up/1"):
        request = session.prepare_request(requests.Request("GET", locked))
        request.url = f"{locked}{place}/{dots}/health"  # as it is: requests would tidy it up
        assert session.send(request, timeout=10).json() == {"status": "alive"}


@pytest.mark.parametrize("name", ["anna", "bruno"])
def test_with_a_login_all_is_as_it_was(locked: str, series: list[Dataset], name: str) -> None:
    login = requests.Session()
    login.auth = (name, f"{name}'s password")
    assert "OHIF" in login.get(f"{locked}/ohif/viewer", timeout=30).text
    arrives(locked, series, login.auth)
    study = f"{locked}/dicom-web/studies/{series[0].StudyInstanceUID}"
    assert login.get(f"{study}/series", timeout=30).json()[0]["0020000E"]["Value"] == [series[0].SeriesInstanceUID]
    answer = login.get(f"{study}/series/1.2.3/metadata", timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert "WWW-Authenticate" not in answer.headers


def test_who_has_looked_at_what_is_noted_and_whom_he_searched_for_is_not(
    locked: str, open_folder: Path, series: list[Dataset]
) -> None:
    anna, study = ("anna", "anna's password"), f"/dicom-web/studies/{series[0].StudyInstanceUID}"
    asked = [("/ohif/", anna), ("/dicom-web/studies?PatientName=Front%5EM*", anna), (f"{study}/metadata", anna)]
    asked += [(f"{study}/metadata", ("bruno", "anna's password")), ("/jobs/x", anna)]
    for path, login in asked:
        requests.get(f"{locked}{path}", auth=login, timeout=30)
    noted = [line.split(" ", 2)[2] for line in (open_folder / "log" / "access.log").read_text().splitlines()]
    assert noted[-3:] == [
        '"anna" GET /dicom-web/studies 200',
        f'"anna" GET {study}/metadata 200',
        f'"bruno" GET {study}/metadata 401',
    ]
    assert not any("Front" in line or "PatientName" in line for line in noted)


def _agrees(port: int, version: ssl.TLSVersion, ciphers: str = "ALL") -> str | None:
    """What a client that knows this alone agrees on with a server; None where they have nothing in common."""
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        client.minimum_version = client.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with client.wrap_socket(plain) as connection:
                return connection.version()
        except ssl.SSLError:
            return None
