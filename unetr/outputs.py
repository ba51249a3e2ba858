"""What a network's channels mean, as a bundle's metadata say it, or by a plain rule where they do not."""

from dataclasses import dataclass
from typing import Any

from unetr.sections import section

NO_LESION = ("background", "brain")
"""What ``channel_def`` calls the channels that are no lesion."""


@dataclass(frozen=True)
class Outputs:
    """How logits become the probability of a lesion.

    Attributes
    ----------
    sigmoid
        Each channel is a probability of its own; else one softmax goes over all of them.
    lesion
        Channels that are lesion, 0-based: their union counts.
    brain
        Channel that says where the brain is, beyond which no lesion counts; None without one.
    """

    sigmoid: bool = True
    lesion: tuple[int, ...] = (0,)
    brain: int | None = None

    @classmethod
    def of(cls, metadata: dict[str, Any], channels: int, applied: str | None = None) -> "Outputs":
        """Read ``network_data_format.outputs.pred`` (``activation``, ``channel_def``) and ``lesion_channels``.

        Without an activation it is the ``applied`` one, see :func:`applied_activation`; without that, several channels
        are a softmax and a single one is a sigmoid. Channel 0 of a softmax is the background, unless it is called
        otherwise. Without ``lesion_channels``, every channel is lesion that is not called background or brain.

        Raises
        ------
        ValueError
            When the metadata contradict themselves or the network.
        """
        pred = section(metadata, "network_data_format", "outputs", "pred")
        named = section(pred, "channel_def")
        names = [str(named.get(str(channel), "")).strip().lower() for channel in range(channels)]
        activation = pred.get("activation") or applied
        if not activation and channels > 1 and names[0] not in ("", *NO_LESION):
            raise ValueError(
                f"channel 0 of {channels} is {names[0]!r}, and nothing says whether they are a softmax or each a "
                "sigmoid: say it in network_data_format.outputs.pred.activation"
            )
        activation = activation or ("softmax" if channels > 1 else "sigmoid")
        if activation not in ("softmax", "sigmoid"):
            raise ValueError(f"activation {activation!r} is neither softmax nor sigmoid")
        sigmoid = activation == "sigmoid" or channels == 1
        if not sigmoid:
            names[0] = names[0] or "background"
        chosen = metadata.get("lesion_channels")
        if chosen is None:
            chosen = [channel for channel, name in enumerate(names) if name not in NO_LESION]
        listed = isinstance(chosen, list) and all(type(one) is int and 0 <= one < channels for one in chosen)
        if not listed or not chosen:
            raise ValueError(f"lesion_channels = {chosen} lists none, or others, of the {channels} channels from 0")
        return cls(sigmoid, tuple(chosen), names.index("brain") if sigmoid and "brain" in names else None)


def applied_activation(inference: dict[str, Any]) -> str | None:
    """The activation that a bundle's own postprocessing applies; None where none of its transforms has one."""
    transforms = section(inference, "postprocessing").get("transforms")
    for transform in transforms if isinstance(transforms, list) else []:
        for activation in ("sigmoid", "softmax"):
            if isinstance(transform, dict) and transform.get(activation) is True:
                return activation
    return None
