"""docker-compose.yml, read as far as that goes without Docker: it runs what the launcher runs, at the same places."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services import ohif
from settings import ROOT, Settings, load_settings, sqlite_path
from tests.api_factory import ApiSite

FOLDER = ROOT / "Orthanc"
SECRETS = {"ORTHANC_PASSWORD": "secret"}
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file with its variables filled in from .env.example's defaults, as compose does."""
    text = (FOLDER / "docker-compose.yml").read_text(encoding="utf-8")

    def value(variable: re.Match[str]) -> str:
        name, default = variable.groups()
        return SECRETS.get(name) or default

    return dict(yaml.safe_load(VARIABLE.sub(value, text)))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return dict(compose["services"])


def test_it_is_the_launchers_services(services: dict[str, Any]) -> None:
    assert {name: one.get("profiles", []) for name, one in services.items()} == {
        "orthanc": [],
        "api": ["server"],
        "worker": ["server"],
        "front": ["server"],
        "ohif": ["fetch"],
    }
    for name in ("api", "worker"):
        python, program = services[name]["command"]
        assert python == "python"
        assert (ROOT / program).is_file()
    assert services["ohif"]["entrypoint"][:3] == ["python3", "-m", ohif.__name__]


def test_defaults_are_those_of_the_settings() -> None:
    text = (FOLDER / "docker-compose.yml").read_text(encoding="utf-8")
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    known = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    settings = load_settings({}, None)
    assert settings.orthanc_url.endswith(":8042")
    for name, default in VARIABLE.findall(text):
        if name != "ORTHANC_PORT":  # of the container alone; elsewhere it is part of ORTHANC_URL
            assert name in known, f"nothing says what {name} is"
        if name not in SECRETS:
            assert default == known.get(name, "8042"), name


def test_only_this_machine_reaches_it_and_each_port_is_what_its_service_listens_on(services: dict[str, Any]) -> None:
    listens = {"orthanc": "ORTHANC_PORT", "api": "API_PORT", "front": "FRONT_LISTEN"}
    assert {name for name, one in services.items() if "ports" in one} == set(listens)
    for name, variable in listens.items():
        (port,) = services[name]["ports"]
        host, _, inside = port.split(":")
        assert (host, inside) == ("127.0.0.1", services[name]["environment"][variable])


def test_api_and_worker_have_none_of_roots_powers(services: dict[str, Any]) -> None:
    for name in ("api", "worker"):
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]


def test_each_finds_the_others(services: dict[str, Any]) -> None:
    environment = {**SECRETS, **services["api"]["environment"]}
    settings = load_settings(environment, None)
    assert services["worker"]["environment"] == services["api"]["environment"]
    assert settings.orthanc_url == f"http://orthanc:{services['orthanc']['environment']['ORTHANC_PORT']}"
    front = services["front"]["environment"]
    assert front["FRONT_ORTHANC"] == settings.orthanc_url.removeprefix("http://")
    assert front["FRONT_UPLOAD"] == f"{settings.upload_max_mb}m"
    assert front["FRONT_API"] == f"{services['api']['hostname']}:{settings.api_port}"
    assert settings.ohif_dir == Path(services["ohif"]["entrypoint"][3])
    for one in services.values():
        assert set(one.get("depends_on", [])) <= set(services)


def test_what_the_example_says_of_the_database_is_in_the_volume(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Said aloud, as in .env.example, or left out: a relative path counts from the image's checkout."""
    (workdir,) = re.findall(r"^WORKDIR (\S+)", (FOLDER / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    monkeypatch.setattr("settings.ROOT", Path(workdir))
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    aloud = tmp_path / ".env"
    aloud.write_text(re.sub(r"^# (\w+_URL=sqlite)", r"\1", example, flags=re.MULTILINE), encoding="utf-8")

    def places(settings: Settings) -> set[Path | None]:
        return {sqlite_path(settings.database_url), sqlite_path(settings.queue_url), settings.ohif_dir}

    for name in ("api", "worker"):
        (volume,) = services[name]["volumes"]
        mounted = Path(volume.split(":")[1])
        told, untold = (load_settings(services[name]["environment"], file) for file in (aloud, None))
        assert told.var_dir == mounted
        assert places(told) == places(untold) == {mounted / "metia.db", mounted / "queue.db", mounted / "ohif"}


def test_the_image_has_what_the_address_of_a_server_needs() -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    files = re.findall(r"-r (\S+)", dockerfile)
    pinned = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    assert all(name in re.findall(r"COPY (.+) \./", dockerfile)[0].split() for name in files)
    assert re.search(r"^psycopg\[binary\]==", pinned, re.MULTILINE)
    assert re.search(r"^redis==", pinned, re.MULTILINE)


@pytest.mark.skipif(os.name == "nt", reason="the container's shell")
@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({}, None),
        ({"FRONT_CERTIFICATE": "/a.pem"}, "FRONT_CERTIFICATE and FRONT_KEY in .env ask for https"),
        ({"FRONT_KEY": "/a.key"}, "FRONT_CERTIFICATE and FRONT_KEY in .env ask for https"),
        ({"FRONT_USERS": "/users"}, "FRONT_USERS in .env asks for a login"),
    ],
)
def test_who_asks_for_https_or_a_login_does_not_go_without(
    services: dict[str, Any], asked: dict[str, str], refused: str | None
) -> None:
    assert {"FRONT_CERTIFICATE", "FRONT_KEY", "FRONT_USERS"} <= set(services["front"]["environment"])
    *shell, script = services["front"]["entrypoint"]
    script = script.replace("$$", "$").replace("/docker-entrypoint.sh", "echo")
    done = subprocess.run([*shell, script], env=os.environ | asked, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if asked else 0)
    assert ("nginx" in done.stdout) is not bool(asked)
    assert done.stderr.startswith(refused or "")
    assert len(done.stderr.splitlines()) == len(asked)


@pytest.mark.skipif(os.name == "nt", reason="the container's shell")
@pytest.mark.parametrize("origins", ["", "http://localhost:3000/, https://[::1]:3000"])
def test_the_container_reads_origins_as_the_settings_do(services: dict[str, Any], origins: str) -> None:
    *shell, script = services["front"]["entrypoint"]
    script = re.sub("exec .*", 'printf %s "$FRONT_ORIGINS"', script.replace("$$", "$"))
    environ = os.environ | {"CORS_ORIGINS": origins}
    said = subprocess.run([*shell, script], env=environ, capture_output=True, text=True, check=True).stdout
    named = load_settings({"CORS_ORIGINS": origins}, None).cors_origins
    assert said.splitlines() == [f'"{origin}" $http_origin;' for origin in named]


def test_the_templates_get_every_name_they_have(services: dict[str, Any]) -> None:
    orthanc = (FOLDER / "orthanc.json").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(ORTHANC_\w+)\}", orthanc)) <= set(services["orthanc"]["environment"])
    front = services["front"]
    given = set(front["environment"]) | set(re.findall(r"export (\w+)=", " ".join(front["entrypoint"])))
    names = set(re.findall(r"\$\{(\w+)\}", (FOLDER / "nginx.conf").read_text(encoding="utf-8")))
    assert names <= given
    assert all(re.match(front["environment"]["NGINX_ENVSUBST_FILTER"], name) for name in names)


def test_what_is_mounted_exists(compose: dict[str, Any], services: dict[str, Any]) -> None:
    for one in services.values():
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            assert (FOLDER / source).exists() if source.startswith(".") else source in compose["volumes"], volume
        build = one.get("build")
        if build:
            assert (FOLDER / build["context"] / build["dockerfile"]).is_file()


def test_the_api_is_known_to_be_healthy(services: dict[str, Any], tmp_path: Path) -> None:
    kind, *command = services["api"]["healthcheck"]["test"]
    assert (kind, command[:2]) == ("CMD", ["python", "-c"])
    compile(command[2], "healthcheck", "exec")
    ((port, path),) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", command[2])
    assert port == services["api"]["environment"]["API_PORT"]
    site = ApiSite(tmp_path)
    try:
        assert site.client.get(path).status_code == 200
    finally:
        site.close()
    assert services["front"]["depends_on"]["api"] == {"condition": "service_healthy"}
