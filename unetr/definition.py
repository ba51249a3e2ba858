"""What a bundle's ``inference.json`` may say: a network by a known name, and plain values. Nothing in it is ever run.

MONAI's bundles may hold Python: ``$`` expressions, ``_target_`` of any importable name, ``_requires_`` to be run first,
``%`` to splice other files in. Of all that only two things are taken here: a ``_target_`` of :data:`TARGETS`, and a
reference ``@key`` (``@outer#inner``) to a plain value in the same file.
"""

from typing import Any

from unetr.sections import section

_MONAI = "monai.networks.nets."
MONAI_NETWORKS = ("UNETR", "SwinUNETR", "SegResNet", "UNet", "DynUNet", "AttentionUnet", "BasicUNetPlusPlus")
OWN_NETWORKS = ("unetr.network.FoldedUNETR", "unetr.network.FoldedSegResNet")
TARGETS = {
    **{name: name for name in OWN_NETWORKS},
    **{prefix + name: _MONAI + name for name in MONAI_NETWORKS for prefix in ("", _MONAI)},
}
"""What ``_target_`` may say, and the name that ``unetr.network.NETWORKS`` has for it."""

SCRIPT = "TorchScript"
"""The ``_target_`` of a network that is its own definition."""

_OLDER_NAMES = {"pos_embed": "proj_type", "dimensions": "spatial_dims"}
"""Arguments that MONAI has renamed since bundles were written with them."""
_DEEPEST = 20


class DefinitionError(ValueError):
    """An entry that is no plain value, or names an unknown network; the message follows a file's name."""


def describe_network(inference: dict[str, Any], metadata: dict[str, Any], *, script: bool) -> dict[str, Any]:
    """The network's name and arguments in plain values, among them ``in_channels``, ``out_channels`` and ``img_size``.

    The window, ``img_size``, is that of the network's definition, else that of the inferer (``roi_size``), else the
    input's ``spatial_shape`` in the metadata, where that is numbers.

    Parameters
    ----------
    script
        The weights are TorchScript: their ``network_def`` is not needed, and not read.

    Raises
    ------
    DefinitionError
        When the network is unknown, takes other than one volume, or no window is said.
    """
    formats = section(metadata, "network_data_format")
    image, pred = section(formats, "inputs", "image"), section(formats, "outputs", "pred")
    if script:
        network = {"in_channels": image.get("num_channels", 1), "out_channels": pred.get("num_channels", 2)}
        network["_target_"] = SCRIPT
    else:
        network = {"in_channels": 1, "out_channels": 2} | network_definition(inference)  # MONAI's own defaults
    if network["in_channels"] != 1 or network.get("spatial_dims", 3) != 3:
        takes = f"{network['in_channels']} channels in {network.get('spatial_dims', 3)} dimensions"
        raise DefinitionError(f"has a network that takes {takes}; a series is one channel in 3 dimensions")
    if type(network["out_channels"]) is not int or network["out_channels"] < 1:
        raise DefinitionError(f"has a network with out_channels = {network['out_channels']}")
    for name, said in (("img_size", network.get("img_size")), ("roi_size", sliding_window(inference, "roi_size"))):
        if said is not None and _window(said) is None:
            raise DefinitionError(f"says {name} = {said}, where a window is three whole numbers of voxels")
    said = network.get("img_size"), sliding_window(inference, "roi_size"), image.get("spatial_shape")
    window = next(filter(None, map(_window, said)), None)
    if window is None:
        raise DefinitionError("says no window: give the inferer a roi_size of three whole numbers")
    return network | {"img_size": window}


def sliding_window(inference: dict[str, Any], key: str) -> Any:
    """One of the arguments of ``inferer`` as a plain value; None when it has no such argument."""
    return plain(section(inference, "inferer").get(key), inference)


def _window(value: Any) -> list[int] | None:
    edges = value if isinstance(value, list) else [value] * 3
    fine = len(edges) == 3 and all(type(edge) is int and edge > 0 for edge in edges)
    return edges if fine else None


def network_definition(inference: dict[str, Any]) -> dict[str, Any]:
    """``network_def`` with every reference replaced by its value, ``_target_`` by the network's full name.

    Raises
    ------
    DefinitionError
        When it is missing, names a network that is not of :data:`TARGETS`, or holds what is no plain value.
    """
    definition = inference.get("network_def")
    if not isinstance(definition, dict) or not isinstance(definition.get("_target_"), str):
        raise DefinitionError("has no network_def with a _target_")
    target = definition["_target_"]
    if target not in TARGETS:
        known = ", ".join((*OWN_NETWORKS, *MONAI_NETWORKS))
        raise DefinitionError(f"names the network {target[:80]!r}, which is not one of {known}")
    arguments = plain({key: value for key, value in definition.items() if key != "_target_"}, inference)
    return {"_target_": TARGETS[target]} | {_OLDER_NAMES.get(key, key): value for key, value in arguments.items()}


def plain(value: Any, inference: dict[str, Any], depth: int = 0) -> Any:
    """Give a value with its references followed.

    Raises
    ------
    DefinitionError
        When it is, holds or refers to an expression, an object to be made, or nothing at all.
    """
    if depth > _DEEPEST:
        raise DefinitionError("has references that lead back to themselves, or values nested too deep")
    if isinstance(value, list):
        return [plain(one, inference, depth + 1) for one in value]
    if isinstance(value, dict):
        special = next((key for key in value if key.startswith("_")), None)
        if special:
            raise DefinitionError(f"asks for something to be made or run by {special!r}, where only values may stand")
        return {key: plain(one, inference, depth + 1) for key, one in value.items()}
    if isinstance(value, str) and value.startswith("@"):
        found = _referred(value, inference)
        # Behind a reference only another one is followed, no list of them: those multiply.
        return plain(found, inference if isinstance(found, str) else {}, depth + 1)
    if isinstance(value, str) and value.startswith(("$", "%")):
        raise DefinitionError(f"holds the expression {value[:80]!r}, where only values may stand: write out its value")
    return value


def _referred(reference: str, inference: dict[str, Any]) -> Any:
    """Find ``@outer#inner`` (or, as MONAI writes it since 1.4, ``@outer::inner``) in the file."""
    found: Any = inference
    for key in reference[1:].replace("::", "#").split("#"):
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            raise DefinitionError(f"refers to {reference[:80]!r}, which is no plain value of this file")
    return found
