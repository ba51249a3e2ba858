"""``python -m unetr train``: train a network on a pool of volumes, resumable."""

import argparse
import logging
import warnings
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint, Timer, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader
from tqdm import tqdm

from unetr.bundle import BundleInfo, ModelError, read_bundle
from unetr.commands.options import above_zero, check_folder, share, whole
from unetr.definition import OWN_NETWORKS
from unetr.errors import told
from unetr.loading.network import load_weights, read_weights
from unetr.synthesis.pool import PoolError, case_names, read_cases
from unetr.training.checkpoint import Record, WrittenBeside, read_checkpoint, read_record
from unetr.training.module import LesionModule
from unetr.training.patches import MOST_EMPHASIS, Patches
from unetr.training.weight import EMPHASIS

_EXAMPLES = """examples:
  python -m unetr train runs/pool --run runs/first --steps 20000
  python -m unetr train runs/pool --run runs/first --steps 20000     # goes on where it was stopped
  python -m unetr train runs/pool --run runs/first --steps 9000 --cooldown 1500    # wind up a running training
  tensorboard --logdir runs/first
"""


def _unetr(options: argparse.Namespace) -> dict[str, Any]:
    size = options.hidden_size
    transformer = {"hidden_size": size, "mlp_dim": 4 * size, "num_heads": size // 16}
    return {"_target_": "unetr.network.FoldedUNETR", "feature_size": options.width or 24, **transformer}


def _segresnet(options: argparse.Namespace) -> dict[str, Any]:
    blocks = {"blocks_down": [1, 2, 2, 1], "blocks_up": [1, 1, 1]}
    return {"_target_": "unetr.network.FoldedSegResNet", "init_filters": options.width or 24, **blocks}


def _precision(definition: dict[str, Any]) -> Literal["bf16-mixed", "32-true"]:
    """Mixed precision, unless a GPU knows no bfloat16, or the network is so narrow that a CPU's convolutions are wrong.

    Seen with torch 2.13 (oneDNN) in bfloat16: below 16 channels the gradients hold whatever lay in memory, often
    infinities; at 16 and above they are the same to the last bit each time.
    """
    narrow = min(definition.get("feature_size", 16), definition.get("init_filters", 16)) < 16
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "32-true" if narrow else "bf16-mixed"


_LARGEST_SEED = 2**32 - 1
"""That numpy takes, which Lightning seeds too."""
_NETWORKS = {"unetr": _unetr, "segresnet": _segresnet}


def _edge(text: str) -> int:
    edge = int(text)
    if edge < 1 or edge % 16:
        raise argparse.ArgumentTypeError(f"{text} is no multiple of 16")
    return edge


def _emphasis(text: str) -> float:
    emphasis = float(text)
    if not 1 <= emphasis <= MOST_EMPHASIS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MOST_EMPHASIS}")
    return emphasis


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Train a network: a UNETR, or with --network segresnet a convolutional U-Net. "
        "Checkpoints every few minutes; the same command again resumes."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("pools", type=Path, nargs="+", metavar="pool", help="folders made by 'synthesize' and 'adopt'")
    parser.add_argument("--run", dest="folder", type=Path, required=True, help="checkpoints and curves go here")
    parser.add_argument("--steps", type=whole(1), default=20_000, help="steps in all (default: %(default)s)")
    parser.add_argument("--cooldown", type=whole(0), default=0, help="last steps, over which the rate falls to zero")
    parser.add_argument(
        "--rate",
        type=above_zero,
        default=1e-3,
        help="learning rate, also of a training that goes on; the transformer's is a tenth (default: %(default)s)",
    )
    parser.add_argument("--batch", type=whole(1), default=4)
    parser.add_argument("--patch", type=_edge, default=96, help="its edge in voxels, a multiple of 16")
    parser.add_argument(
        "--window",
        type=_edge,
        help="edge of the window the model runs with, a multiple of 16; a UNETR's patches are no larger "
        "(default: the patch's)",
    )
    parser.add_argument("--network", choices=sorted(_NETWORKS), default="unetr", help="(default: %(default)s)")
    parser.add_argument("--width", type=whole(1), help="channels of the finest level, a multiple of 8 (default: 24)")
    parser.add_argument(
        "--hidden-size", type=whole(1), default=192, help="of the transformer, a multiple of 16 (default: %(default)s)"
    )
    parser.add_argument(
        "--start-from", type=Path, metavar="BUNDLE", help="begin with a bundle's weights, not at random"
    )
    parser.add_argument(
        "--lesion-share", type=share, default=0.5, help="share of patches around a lesion (default: %(default)s)"
    )
    parser.add_argument(
        "--hard-share",
        type=share,
        default=0.0,
        help="share of patches around lesions that the network, as it is when the command begins, misses or sees where "
        "there are none (default: %(default)s)",
    )
    parser.add_argument(
        "--emphasis",
        type=_emphasis,
        default=EMPHASIS,
        help=f"what a voxel of the smallest lesions counts, 1 to {MOST_EMPHASIS}; once the network finds others, 20 to "
        "40 finds more of them (default: %(default)s)",
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="show patches as they are, mirrored at most: to learn what turning, stretching and recolouring is worth",
    )
    parser.add_argument("--minutes", type=above_zero, help="stop after this long, to be resumed")
    parser.add_argument("--seed", type=whole(0, _LARGEST_SEED), default=0)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    check_folder(options.folder)
    count = 0
    for pool in options.pools:
        names = case_names(pool)
        if not names:
            raise SystemExit(f"{pool} holds no volumes: make some with 'python -m unetr synthesize {pool}'")
        count += len(names)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    pl.seed_everything(options.seed)
    last = options.folder / "last.ckpt"
    checkpoint = read_checkpoint(last) if last.exists() else None
    done = checkpoint["global_step"] if checkpoint else 0
    if done >= options.steps:
        raise SystemExit(f"{options.folder} has done {done} steps: give --steps above that")
    window = [options.window or options.patch] * 3
    definition = _NETWORKS[options.network](options) | {
        "in_channels": 1,
        "out_channels": 2,
        "img_size": window,
        "fold": 2,
    }
    if options.network == "unetr" and options.patch > window[0]:
        raise SystemExit(f"--patch {options.patch} is more than --window {window[0]}, all that a UNETR sees at once")
    module = _module(definition, options)
    record, chosen = read_record(checkpoint or {}), _chosen(options)
    if record:
        _tell_changes(record[-1], chosen)
    if checkpoint:
        _go_on(checkpoint, module, options.folder)
    elif options.start_from:
        _start_from(read_bundle(options.start_from), module)
    every = chain.from_iterable(read_cases(pool) for pool in options.pools)
    try:
        patches = Patches(
            tqdm(every, total=count, desc="reading", unit="volume"),
            options.patch,
            lesion_share=options.lesion_share,
            hard_share=options.hard_share,
            emphasis=options.emphasis,
            varied=not options.plain,
            seed=options.seed + done,  # a resumed run draws other patches than those it has seen
        )
    except (PoolError, ValueError) as error:
        raise SystemExit(str(error)) from error
    if options.hard_share:
        network = module.network.to("cuda" if torch.cuda.is_available() else "cpu")
        tqdm.write(f"{patches.mine(network, window[0])} false and missed lesions to learn from")
    regular = ModelCheckpoint(
        options.folder, "last", train_time_interval=timedelta(minutes=4), enable_version_counter=False
    )
    regular.CHECKPOINT_NAME_LAST = "last"
    final = ModelCheckpoint(options.folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    deadline = [_Deadline(timedelta(minutes=options.minutes))] if options.minutes else []
    progress = TQDMProgressBar(refresh_rate=10)
    _hush()
    trainer = pl.Trainer(
        max_steps=options.steps,
        precision=_precision(definition),
        gradient_clip_val=1.0,
        accelerator="auto",
        devices=1,
        logger=TensorBoardLogger(options.folder, name="", version=""),
        log_every_n_steps=20,
        enable_model_summary=False,
        callbacks=[regular, final, EMAWeightAveraging(decay=0.995), progress, Record(record, chosen), *deadline],
        plugins=[WrittenBeside()],
    )
    trainer.fit(
        module,
        DataLoader(patches, batch_size=options.batch),
        ckpt_path=last if checkpoint else None,
        weights_only=True,  # it reads the file again, which may be another by now
    )
    return 0


def _hush() -> None:
    """Leave the terminal to the progress: Lightning tells of its own devices there, and of services on the internet."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists", module="pytorch_lightning")
    warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a training depends on, in plain values; folders by name, for others lie elsewhere."""
    left_out = ("command", "run", "folder", "minutes")
    chosen = {name: value for name, value in vars(options).items() if name not in left_out}
    start = options.start_from.resolve().name if options.start_from else None
    return chosen | {"pools": [pool.resolve().name for pool in options.pools], "start_from": start}


def _tell_changes(before: dict[str, Any], chosen: dict[str, Any]) -> None:
    for name, value in chosen.items():
        if name in before and before[name] != value:
            tqdm.write(f"{name.replace('_', '-')}: {value}, where the run had {before[name]}")


class _Deadline(Timer):
    """Ends the training after a while. Lightning's own would count the time before a resumption too."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


def _module(definition: dict[str, Any], options: argparse.Namespace) -> LesionModule:
    try:
        return LesionModule(
            definition, rate=options.rate, steps=options.steps, cooldown=options.cooldown, emphasis=options.emphasis
        )
    except Exception as error:  # a network's own checks raise whatever they like
        given = " ".join(f"{option} {value}" for option, value in _as_options(definition).items())
        advice = "give --width a multiple of 8, --hidden-size one of 16"
        raise SystemExit(f"no network can be built of {given}: {told(error)}; {advice}") from error


def _go_on(checkpoint: dict[str, Any], module: LesionModule, folder: Path) -> None:
    """Load the weights, for mining; fitting goes on from the whole checkpoint."""
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        others = _others(checkpoint["hyper_parameters"]["definition"], module)
        raise SystemExit(
            f"{folder} was begun with {others or 'another version of its network'}: "
            "give that to go on, or another --run to begin anew"
        ) from error


def _others(definition: dict[str, Any], module: LesionModule) -> str:
    """The options that would ask for the network defined, where it is not the module's."""
    asked = _as_options(module.hparams["definition"])
    options = _as_options(definition).items()
    return " ".join(f"{option} {value}" for option, value in options if value != asked.get(option))


def _as_options(definition: dict[str, Any]) -> dict[str, Any]:
    """The options that ask for a network."""
    options = {
        "--network": definition["_target_"].rpartition("Folded")[2].lower(),
        "--width": definition.get("feature_size", definition.get("init_filters")),
        "--hidden-size": definition.get("hidden_size"),
        "--window": definition["img_size"][0],
    }
    return {option: value for option, value in options.items() if value is not None}


def _start_from(info: BundleInfo, module: LesionModule) -> None:
    weights = read_weights(info)
    try:
        load_weights(module.network, weights, f"The weights {info.weights}")
    except ModelError as error:
        others = _others(info.network, module) if info.network["_target_"] in OWN_NETWORKS else ""
        advice = f"Give {others} to begin with them." if others else "No option gives the network that they are of."
        raise ModelError(f"{error} {advice}") from error
