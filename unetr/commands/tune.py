"""``python -m unetr tune``: which threshold and which peak suit a model best, on volumes kept for choosing them."""

import argparse
from pathlib import Path

from tqdm import tqdm

from settings import load_settings
from unetr.commands.volumes import add_options, labelled_volumes
from unetr.pictures import draw_trade_off
from unetr.predictor import open_model
from unetr.tuning import OperatingPoint, choose, operating_points, try_points

_EXAMPLES = """examples:
  python -m unetr tune models/mine --synthetic 24
  python -m unetr tune models/mine --synthetic 24 --most-false 1 --picture trade-off.png
  python -m unetr export runs/first models/mine --name "My model" --version 1.0 --threshold 0.45 --peak 0.85
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Try thresholds and peaks, and name the pair that finds most lesions of 5 mm or more without too many false "
        "ones. Measure the model on other volumes than these."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("model", type=Path, help="bundle folder, or MetIA checkpoint")
    add_options(parser, seed=900_000)
    parser.add_argument(
        "--most-false", type=float, default=0.5, help="false lesions that a volume may have (default: %(default)s)"
    )
    parser.add_argument("--picture", type=Path, help="draw sensitivity against false lesions here (PNG)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    count, volumes = labelled_volumes(options)
    predictor = open_model(load_settings(), options.model)
    minimum = predictor.info.postprocessing.minimum_volume_mm3
    scored = []
    for volume in tqdm(volumes, total=count, unit="volume"):
        answer = predictor.ask(volume.image, volume.affine)
        scored.append(dict(try_points(answer, volume.reference, volume.voxel_mm3, minimum)))
    points = operating_points(scored)
    chosen = choose(points, options.most_false)
    print(_table(points, chosen))  # noqa: T201 - the command's answer
    if options.picture:
        draw_trade_off(points, chosen, options.picture)
    return 0


def _table(points: list[OperatingPoint], chosen: OperatingPoint) -> str:
    lines = ["threshold   peak   5 mm and more   3-5 mm   false a volume   Dice"]
    lines += [
        f"{p.threshold:9.2f} {p.peak:6.2f} {p.sensitivity:15.2f} {p.sensitivity_small:8.2f}"
        f" {p.false_lesions:16.2f} {p.dice:6.3f}{'   <- chosen' if p == chosen else ''}"
        for p in points
    ]
    return "\n".join([*lines, "", f"--threshold {chosen.threshold} --peak {chosen.peak}"])
