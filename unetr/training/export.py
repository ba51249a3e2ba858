"""The trained weights as a MONAI bundle: fp16 safetensors, the network's definition, the metadata."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import monai
import safetensors.torch
import torch
from safetensors import SafetensorError

from unetr.bundle import BundleInfo, ModelError, read_bundle
from unetr.loading.network import read_weights
from unetr.training.checkpoint import read_record

INTENDED_USE = "Research. Not a medical device; no result may be used without a radiologist's own reading."


def export_bundle(
    checkpoint: dict[str, Any], bundle: Path, metadata: dict[str, Any], average_with: BundleInfo | None = None
) -> None:
    """Write the averaged weights of a training's checkpoint as a bundle.

    Parameters
    ----------
    metadata
        Name, version, statement, postprocessing ..., for ``configs/metadata.json``, where ``training`` is added: the
        options of each ``train`` call and the steps done, as far as the checkpoint tells. Of a bundle that is there
        already, all but ``configs`` and ``models`` stays, the model card among it.
    average_with
        The bundle that the training began with: the mean of its weights and the training's is written.

    Raises
    ------
    ModelError
        When the two that are to be averaged are not one network, when another folder is in the bundle's place, or the
        bundle could not be read or not be written; then what was there before still is.
    """
    bundle = bundle.resolve()  # what a link points to is exchanged, not the link
    if bundle.exists() and not _is_ours_to_replace(bundle):
        raise ModelError(f"{bundle} is there already and is no bundle: name another folder, or remove that one.")
    prefix = "network."
    weights = {
        name.removeprefix(prefix): tensor.float()
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }
    if average_with is not None:
        weights = _mean(weights, read_weights(average_with), average_with.path)
    weights = {name: tensor.half().contiguous() for name, tensor in weights.items()}
    definition = checkpoint["hyper_parameters"]["definition"]
    if training := read_record(checkpoint):
        metadata = metadata | {"training": training}
    if average_with is not None:
        metadata = metadata | {"averaged_with": f"{average_with.name} {average_with.version}"}
    with written_beside(bundle, weights, definition, metadata) as whole:
        _exchange(whole, bundle)


def _mean(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], whose: Path) -> dict[str, torch.Tensor]:
    shapes, others = ({name: tensor.shape for name, tensor in one.items()} for one in (ours, theirs))
    if shapes != others:
        raise ModelError(f"{whose} is another network than was trained: their weights have no mean.")
    return {name: (tensor + theirs[name].float()) / 2 for name, tensor in ours.items()}


def _is_ours_to_replace(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "configs" / "metadata.json").is_file() or not any(folder.iterdir()))


@contextmanager
def written_beside(
    bundle: Path, weights: dict[str, torch.Tensor], definition: dict[str, Any], metadata: dict[str, Any]
) -> Iterator[Path]:
    """Write a bundle into a folder beside its place, and read it back, to be renamed then; see :func:`write_bundle`.

    Raises
    ------
    ModelError
        When the bundle could not be used, or not be written, or not be renamed. Nothing is left behind.
    """
    try:
        bundle.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{bundle.name}-", dir=bundle.parent) as working:
            whole = Path(working) / bundle.name
            write_bundle(whole, weights, definition, metadata)
            try:
                read_bundle(whole)
            except ModelError as error:
                raise ModelError(str(error).replace(str(whole), str(bundle))) from error
            yield whole
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{bundle} cannot be written: {error}.") from error


def _exchange(whole: Path, bundle: Path) -> None:
    """Put a bundle in the place of the one that may be there, whose other files it takes over."""
    if not bundle.exists():
        whole.replace(bundle)
        return
    for kept in bundle.iterdir():
        if kept.is_dir() and not (whole / kept.name).exists():
            shutil.copytree(kept, whole / kept.name, symlinks=True)
        elif kept.is_file():
            shutil.copy2(kept, whole / kept.name)
    outdated = whole.with_name(f"{bundle.name}.outdated")  # goes with the folder that the new one was written in
    bundle.replace(outdated)
    try:
        whole.replace(bundle)
    except OSError:
        outdated.replace(bundle)
        raise


def write_bundle(
    bundle: Path, weights: dict[str, torch.Tensor], definition: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """Write a bundle folder; its inputs and outputs are those of our own training unless ``metadata`` names others."""
    (bundle / "configs").mkdir(parents=True, exist_ok=True)
    (bundle / "models").mkdir(exist_ok=True)
    safetensors.torch.save_file(weights, bundle / "models" / "model.safetensors")
    versions = {"monai_version": monai.__version__, "pytorch_version": torch.__version__.split("+")[0]}
    full = {**versions, "network_data_format": _of_our_training(definition), **metadata}
    _write_json(bundle / "configs" / "metadata.json", full)
    _write_json(bundle / "configs" / "inference.json", {"network_def": definition})


def describe_data(
    definition: dict[str, Any], *, shows: str, brightest: float, activation: str, channels: dict[str, str]
) -> dict[str, Any]:
    """Give ``network_data_format``: what a network takes and gives.

    Parameters
    ----------
    shows
        What the input channel is, its voxels and its brightness.
    brightest
        Upper end of the input's values; the lower is 0.
    activation, channels
        Of the outputs; channels by their number.
    """
    common = {"type": "image", "spatial_shape": definition["img_size"], "dtype": "float32", "is_patch_data": True}
    image = {
        **common,
        "format": "magnitude",
        "modality": "MR",
        "num_channels": definition.get("in_channels", 1),
        "value_range": [0, brightest],
        "channel_def": {"0": shows},
    }
    pred = {
        **common,
        "format": "segmentation",
        "num_channels": definition["out_channels"],
        "value_range": [0, 1],
        "activation": activation,
        "channel_def": channels,
    }
    return {"inputs": {"image": image}, "outputs": {"pred": pred}}


def _of_our_training(definition: dict[str, Any]) -> dict[str, Any]:
    return describe_data(
        definition,
        shows="T1 post-contrast, 1 mm, median of the brain = 1",
        brightest=5,
        activation="sigmoid",
        channels={"0": "brain metastasis", "1": "brain"},
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
