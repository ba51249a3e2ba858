"""Where the bundle of a model path is: the folder itself, or what a checkpoint was converted to.

Nothing here needs torch, and no checkpoint is read: the API process asks at each request.
"""

import hashlib
from pathlib import Path

from unetr.bundle import ModelError


def bundle_folder(model_path: Path, store: Path) -> Path:
    """Give the bundle folder of a model path; that of a checkpoint is there once it has been converted.

    Parameters
    ----------
    model_path
        A bundle folder, or a checkpoint file. One that is replaced by another is another checkpoint.
    store
        Folder that converted checkpoints are kept in.
    """
    if not model_path.is_file():
        return model_path
    state = model_path.stat()
    key = f"{model_path.resolve()} {state.st_size} {state.st_mtime_ns}"
    return store / hashlib.sha256(key.encode()).hexdigest()[:16]


def converted_bundle(model_path: Path, store: Path) -> Path:
    """Give the bundle folder of a model path for who cannot convert it.

    Raises
    ------
    ModelError
        When it is a checkpoint that is not converted yet.
    """
    bundle = bundle_folder(model_path, store)
    if bundle != model_path and not bundle.exists():
        raise ModelError(
            f"The checkpoint {model_path} is being converted by the worker; GET /ready tells how it stands."
        )
    return bundle
