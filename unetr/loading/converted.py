"""The bundle of a model path: the folder itself, or what a checkpoint was converted to.

Where that is follows from the checkpoint's name, size and date: no checkpoint is read to find it, and none is read
again once it has been converted. Nothing here needs torch, except to convert.
"""

import hashlib
import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from unetr.bundle import ModelError

_SOURCE = "converted-from.txt"
"""In a folder that was made here: the path of the checkpoint."""

_REMOVED = ".removed-"
"""A folder is renamed before it is removed: half of one is never taken for a bundle."""

_WORKING = f".{'[0-9a-f]' * 16}-*"
"""Where a checkpoint is being converted, for a few minutes at most."""
_ABANDONED_SECONDS = 86_400.0

log = logging.getLogger(__name__)


def bundle_folder(model_path: Path, var_dir: Path) -> Path:
    """Give the bundle folder of a model path; that of a checkpoint is there once it has been converted.

    Parameters
    ----------
    model_path
        A bundle folder, or a checkpoint file. One that is replaced by another is another checkpoint.
    var_dir
        Converted checkpoints are kept in its folder ``models``.
    """
    if not os.path.isfile(model_path):  # noqa: PTH113 - Path.is_file raises where it may not look
        return model_path
    state = model_path.stat()
    key = f"{model_path.resolve()} {state.st_size} {state.st_mtime_ns}"
    return var_dir / "models" / hashlib.sha256(key.encode()).hexdigest()[:16]


def converted_bundle(model_path: Path, var_dir: Path) -> Path:
    """Give the bundle folder of a model path, for the API process, which cannot convert.

    Raises
    ------
    ModelError
        When it is a checkpoint that is not converted yet.
    """
    bundle = bundle_folder(model_path, var_dir)
    if bundle != model_path and not bundle.exists():
        raise ModelError(
            f"{model_path} is not converted yet: the worker does so before its next job; its log says if it cannot."
        )
    return bundle


def usable_bundle(model_path: Path, var_dir: Path) -> Path:
    """Give the bundle folder of a model path; a checkpoint is converted the first time, which takes some seconds.

    Raises
    ------
    ModelError
        When it is a checkpoint that cannot be used, or its bundle cannot be written.
    """
    bundle = bundle_folder(model_path, var_dir)
    if bundle != model_path and not bundle.exists():
        from unetr.loading.conversion import convert  # torch

        log.info("%s is being converted to %s", model_path, bundle)
        convert(model_path, bundle)
        try:
            (bundle / _SOURCE).write_text(str(model_path.resolve()), "utf-8")
        except OSError as error:
            raise ModelError(f"{bundle} cannot be written: {error}.") from error
    return bundle


def remove_outdated(var_dir: Path) -> None:
    """Remove what was converted here from checkpoints that are gone, or others now; a bundle put there stays.

    So are the remains of a conversion that was killed.
    """
    for source in var_dir.glob(f"models/*/{_SOURCE}"):
        bundle = source.parent
        with suppress(OSError):  # it is in use: the next time; or another process has just removed it
            if bundle_folder(Path(source.read_text("utf-8")), var_dir) != bundle:
                log.info("%s is removed: its checkpoint is there no more", bundle)
                bundle.replace(bundle.with_name(f"{_REMOVED}{bundle.name}"))
    for working in var_dir.glob(f"models/{_WORKING}"):
        with suppress(OSError):
            if time.time() - working.stat().st_mtime > _ABANDONED_SECONDS:
                working.replace(working.with_name(f"{_REMOVED}{working.name}"))
    for removed in var_dir.glob(f"models/{_REMOVED}*"):
        shutil.rmtree(removed, ignore_errors=True)
