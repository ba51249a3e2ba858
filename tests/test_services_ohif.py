"""Fetching the viewer: what is left out, what is compressed, and what is said when it cannot be had."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from services import ohif
from services.processes import ServiceError

FILES = {
    "package/package.json": b"{}",
    "package/dist/index.html": b"<!doctype html>",
    "package/dist/app.js": b"let a;" * 1000,
    "package/dist/app.js.map": b"{}",
    "package/dist/assets/icon.png": b"png",
    "package/dist/ort/model.wasm": b"large",
    "package/dist/dicom-microscopy-viewer/viewer.js": b"large",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_what_is_never_asked_for_is_left_out(package: Path, tmp_path: Path) -> None:
    ohif.unpack(package, tmp_path / "to")
    found = {path.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*") if path.is_file()}
    assert found == {"index.html", "app.js", "assets/icon.png"}


def test_a_compressed_copy_lies_beside_what_is_large(package: Path, tmp_path: Path) -> None:
    ohif.unpack(package, tmp_path / "to")
    ohif.compress(tmp_path / "to")
    assert gzip.decompress((tmp_path / "to" / "app.js.gz").read_bytes()) == FILES["package/dist/app.js"]
    assert not (tmp_path / "to" / "index.html.gz").exists()


def test_it_is_fetched_once_and_again_for_another_version(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def pack(npm: str, scratch: Path) -> Path:
        fetched.append(npm)
        return package

    monkeypatch.setattr(ohif.shutil, "which", lambda name: name)
    monkeypatch.setattr(ohif, "_pack", pack)
    folder = tmp_path / "viewer"
    for _ in range(2):
        ohif.fetch(folder, lambda _: None)
    assert (len(fetched), ohif.is_there(folder)) == (1, True)
    monkeypatch.setattr(ohif, "VERSION", "9.9.9")
    (folder / "left-over.js").write_text("of the older version")
    ohif.fetch(folder, lambda _: None)
    assert (len(fetched), ohif.is_there(folder)) == (2, True)
    assert not (folder / "left-over.js").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("ohif-")] == []


def test_a_viewer_of_somebody_elses_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ohif.shutil, "which", lambda _: None)
    (tmp_path / "index.html").write_text("theirs")
    ohif.fetch(tmp_path, lambda _: None)
    assert (tmp_path / "index.html").read_text() == "theirs"


def test_without_npm_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ohif.shutil, "which", lambda _: None)
    with pytest.raises(ServiceError, match=r"npm is not installed.*Node\.js"):
        ohif.fetch(tmp_path / "viewer", lambda _: None)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'network down' >&2; exit 1", "network down"),
        ('for last; do :; done; echo forged > "$last/x.tgz"', "not the package that was tested"),
    ],
)
def test_what_npm_cannot_fetch_or_fetches_wrongly_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setattr(ohif.shutil, "which", lambda _: str(npm))
    with pytest.raises(ServiceError, match=words):
        ohif.fetch(tmp_path / "viewer", lambda _: None)
    assert not (tmp_path / "viewer").exists()
