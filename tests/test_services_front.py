"""What is written into nginx's configuration, and when nginx is used at all."""

import os
import re
from pathlib import Path

import pytest

from services import front, launcher, orthanc
from services.processes import ServiceError, Services
from settings import Settings, load_settings

ACCOUNT = {"ORTHANC_USERNAME": "metia", "ORTHANC_PASSWORD": "se:cret"}


def settings_from(**environ: str) -> Settings:
    return load_settings(ACCOUNT | environ, None)


def test_every_name_is_filled_in_and_nginx_keeps_its_own(tmp_path: Path) -> None:
    text = front.configuration(settings_from(API_PORT="5001", ORTHANC_URL="http://127.0.0.1:8043"), tmp_path)
    assert "${" not in text
    assert "$http_host" in text
    assert "server 127.0.0.1:5001;" in text
    assert "server 127.0.0.1:8043;" in text
    assert "listen 127.0.0.1:8080;" in text
    assert text.count(f"client_max_body_size {2 << 30};") == 2
    assert "Basic bWV0aWE6c2U6Y3JldA==" in text
    assert "cret" not in text.replace("Y3JldA==", "")
    assert text.count("{") == text.count("}")


def test_https_needs_both_files(tmp_path: Path) -> None:
    certificate, key = tmp_path / "a.pem", tmp_path / "a.key"
    certificate.touch()
    with pytest.raises(ServiceError, match="FRONT_KEY"):
        front.configuration(settings_from(FRONT_CERTIFICATE=str(certificate), FRONT_KEY=str(key)), tmp_path)
    key.touch()
    settings = settings_from(FRONT_CERTIFICATE=str(certificate), FRONT_KEY=str(key))
    text = front.configuration(settings, tmp_path)
    assert re.search(r"listen 127\.0\.0\.1:8080 ssl;", text)
    assert f'ssl_certificate_key "{key}";' in text
    assert front.url(settings) == "https://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("orthanc", "nginx", "possible"),
    [
        ("http://127.0.0.1:8042", "/usr/sbin/nginx", True),
        ("http://127.0.0.1:8042", None, False),
        ("https://archive.example", "/usr/sbin/nginx", False),
        ("http://archive.example/orthanc", "/usr/sbin/nginx", False),
    ],
)
def test_it_is_used_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, orthanc: str, nginx: str | None, possible: bool
) -> None:
    monkeypatch.setattr(front, "find_nginx", lambda: nginx)
    assert front.is_possible(settings_from(ORTHANC_URL=orthanc)) is possible


@pytest.mark.skipif(os.name == "nt", reason="stand-ins are shell scripts")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'nginx: [emerg] bind() failed' >&2; exit 1", "ended with status 1.*nginx: \\[emerg\\] bind"),
        ("sleep 60", "nginx was not ready"),
        (None, "No such file"),
    ],
)
def test_without_nginx_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, words: str
) -> None:
    nginx = tmp_path / "stand-in"
    if script is not None:
        nginx.write_text(f"#!/bin/sh\n{script}\n")
        nginx.chmod(0o755)
    monkeypatch.setattr(front, "find_nginx", lambda: str(nginx))
    monkeypatch.setattr(front, "WAIT_SECONDS", 0.5 if script == "sleep 60" else 20.0)
    said: list[str] = []
    monkeypatch.setattr(launcher, "say", said.append)
    monkeypatch.setattr(launcher.orthanc, "plan", lambda account, *_, **__: orthanc.Plan("running", account, "", ""))
    monkeypatch.setattr(launcher.ohif, "fetch", lambda *_: None)
    monkeypatch.setattr(launcher, "not_ready", lambda _: lambda: None)
    monkeypatch.setattr(launcher, "ROOT", tmp_path)
    for program in ("api.py", "jobs.py"):
        (tmp_path / program).write_text("import time; time.sleep(60)")
    with Services(tmp_path / "log") as services:
        settings, origin = launcher.start(services, settings_from(VAR_DIR=str(tmp_path)))
        services.check()
        assert [service.name for service in services.running] == ["API", "Worker"]
    assert origin == launcher.api_url(settings)
    assert f"{origin}/ohif/" in launcher.viewer_url(origin)
    *_, line = said
    assert "\n" not in line
    assert re.search(words, line)


def test_nginx_is_asked_for_nothing_that_older_ones_do_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ubuntu 22.04 has 1.18; ``-e`` came with 1.19.5."""
    commands: list[list[str]] = []
    services = Services(tmp_path)
    monkeypatch.setattr(front, "find_nginx", lambda: "nginx")
    monkeypatch.setattr(services, "start", lambda _, command, *__: commands.append(command))
    monkeypatch.setattr(services, "wait_for", lambda *_: None)
    front.start(services, settings_from(VAR_DIR=str(tmp_path)))
    assert {word for word in commands[0] if word.startswith("-")} == {"-p", "-c", "-g"}


def test_the_address_is_one_that_can_be_reached() -> None:
    assert front.url(settings_from(FRONT_HOST="0.0.0.0", FRONT_PORT="81")) == "http://127.0.0.1:81"
    assert front.url(settings_from(FRONT_HOST="10.1.2.3")) == "http://10.1.2.3:8080"
