"""What one training step does: the network, its loss, its optimiser."""

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from unetr.network import build
from unetr.training.weight import EMPHASIS, count_false


def build_network(definition: dict[str, Any]) -> nn.Module:
    """A folded network from its ``_target_`` and keyword arguments; its first output starts out saying "no lesion"."""
    network: Any = build(definition)
    with torch.no_grad():
        network.output_bias.zero_()[: network.fold**3] = -4.0
    return network


def lesion_loss(logits: torch.Tensor, fraction: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Soft Dice over the whole batch plus cross-entropy, both against the fraction of lesion in each voxel.

    Dice is taken over the batch, not per patch: a patch without a lesion, or with a tiny one, would else give a
    gradient that says nothing. Cross-entropy against the fraction puts probability 0.5 on the lesion's surface.
    ``weight``, of the same shape, is how much each voxel counts in both.
    """
    probability = torch.sigmoid(logits)
    smooth = 50.0
    overlap = 2 * (weight * probability * fraction).sum() + smooth
    dice = 1 - overlap / ((weight * (probability.square() + fraction.square())).sum() + smooth)
    return dice + 5 * F.binary_cross_entropy_with_logits(logits, fraction, weight)


class LesionModule(pl.LightningModule):
    """Trains a network with two outputs, lesion and brain.

    The rate warms up linearly, stays constant, and decays linearly to zero over the last ``cooldown`` steps. The brain
    is asked for because it teaches the network early what lies outside of it, where much is bright and nothing counts.
    ``emphasis`` is the one that the patches were weighted with.
    """

    def __init__(
        self,
        definition: dict[str, Any],
        *,
        rate: float,
        steps: int,
        cooldown: int,
        emphasis: float = EMPHASIS,
        warmup: int = 200,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = build_network(definition)
        self._rate, self._steps, self._cooldown, self._warmup = rate, steps, cooldown, warmup
        self._emphasis = emphasis

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image)

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:  # noqa: ARG002 - Lightning's signature
        logits = self.network(batch["image"]).float()
        lesion, brain = logits[:, :1], logits[:, 1:]
        probability = torch.sigmoid(lesion.detach())
        weight = count_false(batch["weight"], probability, batch["fraction"], self._emphasis)
        loss = lesion_loss(lesion, batch["fraction"], weight)
        loss = loss + F.binary_cross_entropy_with_logits(brain, batch["brain"])
        with torch.no_grad():
            mask, truth = lesion > 0, batch["fraction"] >= 0.5
            dice = (2 * (mask & truth).sum() + 1) / (mask.sum() + truth.sum() + 1)
        self.log_dict({"loss": loss, "dice": dice}, prog_bar=True)
        return loss

    def on_train_start(self) -> None:
        """Go on at the rate that is asked for now: a checkpoint has brought back the one it was written with."""
        schedule: Any = self.lr_schedulers()
        schedule.base_lrs = self._rates
        for group, rate in zip(schedule.optimizer.param_groups, self._rates, strict=True):
            group.update(initial_lr=rate, lr=rate * self._factor(schedule.last_epoch))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002 - Lightning's signature
        """End the training, with its last checkpoint whole, before a gradient that is no number spoils the weights."""
        broken = [name for name, p in self.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        if broken:
            raise FloatingPointError(
                f"step {self.global_step}: the gradient of {len(broken)} parameters ({broken[0]} ...) is not finite. "
                "Go on from the last checkpoint by giving the command again; should it recur, lower --rate."
            )

    def _factor(self, step: int) -> float:
        up = (step + 1) / self._warmup
        down = (self._steps - step) / max(1, self._cooldown)
        return max(0.0, min(1.0, up, down))

    def configure_optimizers(self) -> Any:
        inside = getattr(self.network, "transformer", None)
        transformer = {id(parameter) for parameter in inside.parameters()} if inside else set()
        slow = [p for p in self.parameters() if id(p) in transformer]
        fast = [p for p in self.parameters() if id(p) not in transformer]
        # A patch embedding sums tens of thousands of inputs: at the convolutions' rate its output runs away within a
        # few steps, the residual stream with it, and the decoder learns nothing more.
        groups = [{"params": fast, "lr": self._rate}, {"params": slow, "lr": self._rate / 10}]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        self._rates = list(schedule.base_lrs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
