"""Which state of the software made a result."""

import subprocess

import torch

from unetr import software
from unetr.software import versions


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    told = subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def test_the_commit_is_named_and_whether_files_differ_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr(software, "_ROOT", tmp_path)
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one", "utf-8")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    git(tmp_path, "tag", "-m", "a name says less than a commit", "v1")
    commit = git(tmp_path, "rev-parse", "HEAD")[:12]
    assert versions()["commit"] == commit
    (tmp_path / "file").write_text("two", "utf-8")
    assert versions()["commit"] == f"{commit}-dirty"


def test_without_a_checkout_there_is_no_commit_of_another_project(tmp_path, monkeypatch):
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "somebody else's")
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr(software, "_ROOT", tmp_path / "unpacked")
    assert versions()["commit"] is None
    assert versions()["torch"] == torch.__version__
