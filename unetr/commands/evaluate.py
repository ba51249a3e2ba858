"""``python -m unetr evaluate``: how good a model is, on synthetic volumes made from seeds or on labelled NIfTI."""

import argparse
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from settings import load_settings
from unetr.commands.heads import described
from unetr.commands.options import make_room
from unetr.commands.volumes import LabelledVolume, add_options, labelled_volumes, measure_each
from unetr.components import label, only
from unetr.contrast import contrast_to_noise
from unetr.evaluation import Evaluation, identity
from unetr.figures import summarise
from unetr.metrics import Score, score_labels
from unetr.pictures import ENDINGS, View, draw, view
from unetr.predictor import Predictor, open_model
from unetr.software import versions

_EXAMPLES = """examples:
  python -m unetr evaluate --synthetic 20
  python -m unetr evaluate --synthetic 20 --slices 5               # as if acquired in axial slices of 5 mm
  python -m unetr evaluate --synthetic 40 --json shipped.json      # for: python -m unetr compare shipped.json mine.json
  python -m unetr evaluate --synthetic 5 --lesions 0               # healthy heads: what is found is false
  python -m unetr evaluate --images 'cases/*/t1ce.nii.gz' --mask seg.nii.gz --labels 1 4 --picture cases.png
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure sensitivity by lesion size and by how far small lesions stand out, false lesions and Dice, with 95 % "
        "intervals. The same seed gives the same figures. Nothing is measured where a file's head tells that it cannot "
        "be used; a volume that proves useless later is named and left out, and the command then ends with 1. "
        "Ctrl-C ends it with what was measured until then."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("--model", type=Path, help="bundle folder, or MetIA checkpoint (default: MODEL_PATH)")
    add_options(parser, seed=910_000)
    parser.add_argument(
        "--json", type=Path, help="write the model, the figures and each volume's scores here: for compare"
    )
    parser.add_argument("--picture", type=Path, help="draw the best, the median and the worst volume by Dice here")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    make_room(options.json)
    make_room(options.picture, ENDINGS)
    volumes = labelled_volumes(options)
    predictor = open_model(load_settings(), options.model)
    results = measure_each(volumes, partial(_evaluate, predictor))
    scores = [score for score, _ in results]
    print(summarise(scores))  # noqa: T201 - the command's answer
    if options.json:
        software = versions() | {"engine": predictor.engine.name}
        asked = _asked(options, volumes, scores)
        Evaluation(identity(predictor.info), software, asked, scores).write(options.json)
    if options.picture:
        measured = [one for one in results if one[0].reference_volume_ml > 0] or results  # where all are healthy
        views = [view for _, view in sorted(measured, key=lambda one: -np.nan_to_num(one[0].dice))]
        draw([views[0], views[len(views) // 2], views[-1]], options.picture)
    return 0 if len(results) == len(volumes) else 1


def _asked(options: argparse.Namespace, names: Collection[str], scores: Sequence[Score]) -> dict[str, Any]:
    """What the options name, and which of these volumes have no score."""
    scored = {score.name for score in scores}
    heads = {"count": options.synthetic, "seed": options.seed, "heads": described(options)}
    return {
        "synthetic": heads if options.synthetic else None,
        "images": options.images,
        "mask": options.mask,
        "labels": options.labels,
        "slices_mm": options.slices,
        "left_out": [name for name in names if name not in scored],
    }


def _evaluate(predictor: Predictor, volume: LabelledVolume) -> tuple[Score, View]:
    prediction = predictor.predict(volume.image, volume.affine)
    labels = label(prediction.mask)
    large = np.bincount(labels.ravel()) * volume.voxel_mm3 >= prediction.minimum_volume_mm3
    found = only(labels, large)
    reference = label(volume.reference)
    scored = replace(
        score_labels(volume.name, reference, found, volume.voxel_mm3),
        contrasts=contrast_to_noise(volume.image, reference, volume.affine),
        image_mean=float(volume.image.mean(dtype=float)),
    )
    title = f"{volume.name}: Dice {scored.dice:.2f}"
    return scored, view(title, volume.image, volume.reference, found > 0, volume.affine)
