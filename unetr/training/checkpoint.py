"""A training's checkpoint on disk: a kill while it is written spares the one before; a cut-off one is told as such."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from unetr.errors import ModelError, told
from unetr.sections import section

_NEEDED = frozenset(
    {
        "state_dict",
        "hyper_parameters",
        "global_step",
        "optimizer_states",
        "lr_schedulers",
        "loops",
        "pytorch-lightning_version",
    }
)
"""What is read to export a training or to go on with it, by Lightning too."""


class WrittenBeside(TorchCheckpointIO):
    """Writes a checkpoint beside its place, and renames it.

    Lightning's own writes into the system's folder for temporary files. Where that is on another disk, moving means
    copying over the checkpoint before, and a kill meanwhile leaves neither.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ARG002 - Lightning's signature
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f"{place.name}.part")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())  # a name that outlives a power cut before its content does is no better
        partial.replace(place)


class Record(pl.Callback):
    """Keeps in each checkpoint how it came about: the options of every ``train`` call, and the steps done at its end.

    Parameters
    ----------
    before
        The entries of the checkpoint that is gone on with.
    options
        Of this call, in plain values.
    """

    def __init__(self, before: list[dict[str, Any]], options: dict[str, Any]) -> None:
        self._before, self._options = before, options

    def on_save_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002 - Lightning's signature
        checkpoint: dict[str, Any],
    ) -> None:
        checkpoint["training"] = [*self._before, self._options | {"steps_done": trainer.global_step}]


def read_record(checkpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the entries of :class:`Record`, the oldest first; none of a checkpoint that was written without."""
    entries = checkpoint.get("training")
    return [section(entry) for entry in entries] if isinstance(entries, list) else []


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of one of our own trainings: tensors and plain values. Nothing in it is run, whatever it holds.

    Raises
    ------
    ModelError
        When it is missing, cut off, none of a training, or holds anything else.
    """
    try:
        checkpoint = section(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise ModelError(f"There is no {path}: a training writes it every few minutes and at its end.") from error
    except pickle.UnpicklingError as error:
        reason = "it is damaged, or holds objects, which may run anything as they are read; a training writes none"
        raise ModelError(f"{path} is not opened: {reason}.") from error
    except Exception as error:  # a pickle can be wrong in as many ways as there are programs
        advice = "put a copy in its place, or remove it and train anew"
        raise ModelError(f"{path} cannot be read, it may be cut off ({told(error)}): {advice}.") from error
    definition = section(checkpoint, "hyper_parameters", "definition")
    if not checkpoint.keys() >= _NEEDED or not definition.keys() >= {"_target_", "img_size"}:
        raise ModelError(f"{path} is no checkpoint of a training of python -m unetr train.")
    return checkpoint
