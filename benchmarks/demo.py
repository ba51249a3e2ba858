"""``python -m benchmarks demo``: how well a model finds and measures the demo's lesions, without any server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm import tqdm

from benchmarks.arguments import add_model, new_parser
from benchmarks.report import deviation, model_path, table, verdict, within
from imaging.volume import read_series
from rano.components import label_lesions
from rano.lesion import Measurement
from rano.measuring import measure
from settings import load_settings

if TYPE_CHECKING:
    from services.demo_patient import Truth, Visit
    from unetr.predictor import Predictor

SMALLEST_MM = 5.0
DIAMETER_MM, DIAMETER_SHARE, VOLUME_SHARE = 1.0, 0.10, 0.15
EXAMPLES = """examples:
  python -m benchmarks demo
  python -m benchmarks demo --model runs/latest/bundle
"""


@dataclass(frozen=True)
class Pair:
    """A true lesion with what was measured of it, or one without the other: missed, or false."""

    visit: int
    truth: "Truth | None"
    measured: Measurement | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when every target is met."""
    parser = new_parser(
        "demo",
        "Segment the demo patient's two visits and compare each lesion with what was painted.",
        EXAMPLES,
    )
    add_model(parser)
    options = parser.parse_args(arguments)

    model = model_path(options.model)
    from services.demo_patient import make_visits
    from unetr.predictor import open_model

    predictor = open_model(load_settings(), model)
    print(f"model    {predictor.info.name} {predictor.info.version}, {predictor.info.sha256[:12]}\n")
    pairs = []
    for number, visit in enumerate(make_visits(), start=1):
        with tqdm(total=1.0, desc=f"visit {number}", bar_format="{l_bar}{bar}", leave=False, disable=None) as bar:
            pairs += compare(number, visit, segment(visit, predictor, bar))
    header = ["lesion", "visit", "diameter", "measured", "error", "", "volume", "measured", "error"]
    print(table(header, [_row(pair) for pair in pairs if pair.truth or pair.measured in _largest_false(pairs)]))
    print("(mm, mm3; of the false lesions of a visit, the largest)\n")
    return 0 if all(_judge(pairs)) else 1


def segment(visit: "Visit", predictor: "Predictor", bar: tqdm) -> list[Measurement]:
    """Do what the pipeline does between the archive and the results."""

    def progress(fraction: float) -> None:
        bar.n = fraction
        bar.refresh()

    volume = read_series(visit.datasets).volume
    prediction = predictor.predict(volume.array, volume.affine, progress)
    label_map = label_lesions(prediction.mask, volume.affine, prediction.minimum_volume_mm3)
    return measure(label_map, volume.affine, prediction.probability)


def compare(number: int, visit: "Visit", measurements: Sequence[Measurement]) -> list[Pair]:
    """Pair each true lesion with the nearest measured one whose centre lies within it; what is left is false."""
    left = list(measurements)
    pairs = []
    for truth in visit.lesions:
        place = truth.found_at([m.centroid_lps_mm for m in left])
        pairs.append(Pair(number, truth, None if place is None else left.pop(place)))
    return pairs + [Pair(number, None, measurement) for measurement in left]


def _largest_false(pairs: Sequence[Pair]) -> list[Measurement | None]:
    """Each visit's false lesion with the largest volume: measurements come in that order."""
    return list({pair.visit: pair.measured for pair in reversed(pairs) if pair.truth is None}.values())


def _row(pair: Pair) -> list[str]:
    true = (pair.truth.diameter_mm, pair.truth.volume_mm3) if pair.truth else None
    measured = (pair.measured.longest.length_mm, pair.measured.volume_mm3) if pair.measured else None
    row = [pair.truth.name if pair.truth else "nothing there", str(pair.visit)]
    row += [f"{true[0]:.1f}" if true else "-", f"{measured[0]:.1f}" if measured else "-"]
    row += [f"{measured[0] - true[0]:+.1f} mm", deviation(measured[0], true[0])] if true and measured else ["", ""]
    row += [f"{true[1]:.0f}" if true else "-", f"{measured[1]:.0f}" if measured else "-"]
    missing = "MISSED" if pair.truth else "FALSE"
    return [*row, deviation(measured[1], true[1]) if true and measured else missing]


def _judge(pairs: Sequence[Pair]) -> list[bool]:
    wanted = [p for p in pairs if p.truth and p.truth.diameter_mm >= SMALLEST_MM]
    found = [(p.truth, p.measured) for p in wanted if p.truth and p.measured]
    false = sum(p.truth is None for p in pairs)
    diameters = [within(m.longest.length_mm, t.diameter_mm, DIAMETER_SHARE, DIAMETER_MM) for t, m in found]
    volumes = [within(m.volume_mm3, t.volume_mm3, VOLUME_SHARE) for t, m in found]
    sized = f"of {SMALLEST_MM:g} mm or more"
    limit = f"{DIAMETER_MM:g} mm or {DIAMETER_SHARE:.0%}"
    return [
        verdict(f"{len(found)} of {len(wanted)} lesions {sized} found", met=len(found) == len(wanted)),
        verdict(f"{false} false lesions", met=false == 0),
        verdict(f"{sum(diameters)} of {len(found)} diameters {sized} within {limit}", met=all(diameters)),
        verdict(f"{sum(volumes)} of {len(found)} volumes {sized} within {VOLUME_SHARE:.0%}", met=all(volumes)),
    ]
