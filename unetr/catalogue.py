"""The models there are: the one at MODEL_PATH, its neighbours in the same folder, and which of them cannot be used."""

import os
from dataclasses import dataclass
from pathlib import Path

from unetr.bundle import BundleInfo, ModelError, read_bundle
from unetr.loading.converted import converted_bundle


@dataclass(frozen=True)
class Catalogue:
    """What was found.

    Attributes
    ----------
    models
        Usable models by name; the default first.
    refused
        Why the other folders cannot be used, by the folder's name.
    default
        Name of the model at MODEL_PATH; None when that one cannot be used.
    folder
        Name of its folder.
    """

    models: dict[str, BundleInfo]
    refused: dict[str, str]
    default: str | None
    folder: str

    def find(self, name: str | None) -> BundleInfo:
        """Give the model of this name, or the default.

        Raises
        ------
        ModelError
            When it is not there, or cannot be used.
        """
        if name is None and self.default is None:
            raise ModelError(self.refused[self.folder])
        found = self.models.get(name or self.default or "")
        if found is None:
            there = ", ".join(self.models) + "." if self.models else f"none: {' '.join(self.refused.values())}"
            raise ModelError(f"There is no model {name}; there is {there}")
        return found


def find_models(model_path: Path, var_dir: Path) -> Catalogue:
    """Look at the model at ``model_path``, and at every bundle's folder beside it; of two with one name the first.

    Parameters
    ----------
    model_path
        A bundle's folder, or a checkpoint, whose bundle the worker has put below ``var_dir``.
    """
    default = model_path.resolve().name
    models: dict[str, BundleInfo] = {}
    refused: dict[str, str] = {}
    for path in (model_path, *_neighbours(model_path, var_dir)):
        folder = path.resolve().name
        try:
            info = read_bundle(converted_bundle(path, var_dir))
        except ModelError as error:
            refused[folder] = str(error)
        else:
            if models.setdefault(info.name, info) is not info:
                refused[folder] = f"{path} has the name of {models[info.name].path}, {info.name}: give it another."
    return Catalogue(models, refused, None if default in refused else next(iter(models)), default)


def _neighbours(model_path: Path, var_dir: Path) -> list[Path]:
    """Folders with a bundle's parts, though they be half-copied; one whose name begins with a dot is none yet.

    ``var_dir`` is none, though it has a folder ``models``. What may not be looked into, a disk's ``lost+found`` say, is
    none either.
    """
    try:
        beside = sorted(model_path.parent.iterdir())
    except OSError:
        return []
    parts = ("configs", "models")
    return [
        folder
        for folder in beside
        if folder not in (model_path, var_dir)
        and folder.name[0] != "."
        and any(os.path.isdir(folder / part) for part in parts)  # noqa: PTH112 - Path.is_dir raises what this answers
    ]
