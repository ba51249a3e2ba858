"""``python -m unetr tune``: which threshold and which peak suit a model best, on volumes kept for choosing them."""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from settings import load_settings
from unetr.commands.options import make_room, not_below_zero
from unetr.commands.postprocessing import as_options
from unetr.commands.volumes import LabelledVolume, add_options, labelled_volumes, measure_each
from unetr.metrics import Score
from unetr.pictures import ENDINGS, draw_trade_off
from unetr.predictor import Predictor, open_model
from unetr.tuning import NothingFoundError, OperatingPoint, choose, operating_points, try_points

_EXAMPLES = """examples:
  python -m unetr tune models/mine --synthetic 24
  python -m unetr tune models/mine --synthetic 24 --most-false 1 --picture trade-off.png
  python -m unetr export runs/first models/mine --name "My model" --version 1.0 --threshold 0.45 --peak 0.85
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Try thresholds and peaks, and name the pair that finds most lesions of 5 mm or more without too many false "
        "ones. Measure the model on other volumes than these. Nothing is tried where a file's head tells that it "
        "cannot be used; a volume that proves useless later is named and left out, and the command then ends with 1. "
        "Ctrl-C ends it with what was measured until then."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("model", type=Path, help="bundle folder, or MetIA checkpoint")
    add_options(parser, seed=900_000)
    parser.add_argument(
        "--most-false",
        type=not_below_zero,
        default=0.5,
        help="false lesions that a volume may have (default: %(default)s)",
    )
    parser.add_argument("--picture", type=Path, help="draw sensitivity against false lesions here (PNG)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    make_room(options.picture, ENDINGS)
    volumes = labelled_volumes(options)
    predictor = open_model(load_settings(), options.model)
    scored = measure_each(volumes, partial(_tried, predictor))
    points = operating_points(scored)
    try:
        chosen = choose(points, options.most_false)
    except NothingFoundError as error:
        raise SystemExit(f"{options.model}: {error}") from error
    print(_table(points, chosen))  # noqa: T201 - the command's answer
    if chosen.false_lesions > options.most_false:
        print(f"\nno pair has at most {options.most_false:g} false lesions a volume: the one with the fewest is chosen")  # noqa: T201
    tuned = replace(predictor.info.postprocessing, threshold=chosen.threshold, peak=chosen.peak)
    print(f"\nexport again with:\n{as_options(tuned)}")  # noqa: T201
    if options.picture:
        draw_trade_off(points, chosen, options.picture)
    return 0 if len(scored) == len(volumes) else 1


def _tried(predictor: Predictor, volume: LabelledVolume) -> dict[tuple[float, float], Score]:
    answer = predictor.ask(volume.image, volume.affine)
    minimum = predictor.info.postprocessing.minimum_volume_mm3
    return dict(try_points(answer, volume.reference, volume.voxel_mm3, minimum))


def _table(points: list[OperatingPoint], chosen: OperatingPoint) -> str:
    lines = ["threshold   peak   5 mm and more   3-5 mm   false a volume   Dice"]
    lines += [
        f"{p.threshold:9.2f} {p.peak:6.2f} {p.sensitivity:15.2f} {p.sensitivity_small:8.2f}"
        f" {p.false_lesions:16.2f} {p.dice:6.3f}{'   <- chosen' if p == chosen else ''}"
        for p in points
    ]
    return "\n".join(lines)
