"""``python -m unetr models``: the models there are, and whether the server would load each."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from settings import load_settings
from unetr.bundle import BundleInfo
from unetr.catalogue import find_models
from unetr.errors import ModelError
from unetr.loading.converted import bundle_folder

Subject = TypeVar("Subject")

_EXAMPLES = """examples:
  python -m unetr models
  python -m unetr models models/mine
  python -m unetr models checkpoint.cpkt
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List a model and its neighbours in the same folder, and why others there cannot be used. The names and shapes "
        "of all weights are compared with the network, as when a server loads them; the weights are not read."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("model", type=Path, nargs="?", help="bundle folder or checkpoint (default: MODEL_PATH)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from unetr.loading.checkpoint import check_metia_checkpoint  # torch takes seconds, and --help does without
    from unetr.loading.network import check_loads

    settings = load_settings()
    path = options.model or settings.model_path
    found = find_models(path, settings.var_dir)
    usable: dict[str, list[str]] = {}
    refused = dict(found.refused)
    for name, info in found.models.items():
        folder = found.folder if name == found.default else info.path.name
        if reason := _refusal(check_loads, info):
            refused[folder] = reason
        else:
            usable[folder] = _described(info)
    if not (bundle := bundle_folder(path, settings.var_dir)).exists() and bundle != path:
        if reason := _refusal(check_metia_checkpoint, path):
            refused[found.folder] = reason
        else:
            del refused[found.folder]
            usable[found.folder] = [path.name, f"    {path}: a MetIA checkpoint; the worker converts it once"]
    for folder, lines in sorted(usable.items(), key=lambda one: one[0] != found.folder):
        lines[0] += "  (default)" if folder == found.folder else ""
        print("\n".join(lines))  # noqa: T201 - the command's answer
    for folder, reason in refused.items():
        print(f"{folder} cannot be used\n    {reason}")  # noqa: T201
    return 0 if found.folder in usable else 1


def _refusal(check: Callable[[Subject], None], subject: Subject) -> str | None:
    """Why something would not be loaded; None where it would."""
    try:
        check(subject)
    except ModelError as error:
        return str(error)
    return None


def _described(info: BundleInfo) -> list[str]:
    window = " x ".join(map(str, info.window))
    unseen = ["    TorchScript: whether it fits is seen when it is loaded"] if info.weights.suffix == ".ts" else []
    return [
        f"{info.name} {info.version}",
        f"    {info.path}: {info.network['_target_']}, window {window}, {info.preprocessing}",
        f"    SHA-256 {info.sha256}",
        *unseen,
        f"    {info.statement}",
    ]
