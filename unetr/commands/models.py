"""``python -m unetr models``: the models there are, as ``GET /models`` lists them."""

import argparse
from pathlib import Path

from settings import load_settings
from unetr.catalogue import find_models

_EXAMPLES = """examples:
  python -m unetr models
  python -m unetr models models/mine
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = "List a model and its neighbours in the same folder, and why others there cannot be used."
    parser.epilog = _EXAMPLES
    parser.add_argument("model", type=Path, nargs="?", help="bundle folder or checkpoint (default: MODEL_PATH)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    settings = load_settings()
    found = find_models(options.model or settings.model_path, settings.var_dir)
    lines = []
    for name, info in found.models.items():
        mark = "  (default)" if name == found.default else ""
        window = " x ".join(map(str, info.window))
        lines += [
            f"{name} {info.version}{mark}",
            f"    {info.path}: {info.network['_target_']}, window {window}, {info.preprocessing}",
            f"    SHA-256 {info.sha256}",
            f"    {info.statement}",
        ]
    for folder, reason in found.refused.items():
        lines += [f"{folder} cannot be used", f"    {reason}"]
    print("\n".join(lines))  # noqa: T201 - the command's answer
    return 0 if found.default else 1
