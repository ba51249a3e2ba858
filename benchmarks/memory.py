"""``python -m benchmarks memory``: the most memory that a whole job takes on the CPU."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks.arguments import add_model, new_parser
from benchmarks.isolation import connect, in_fresh_process, own_orthanc, peak_bytes
from benchmarks.report import GIB, model_path, table, verdict
from services.orthanc import Account
from settings import load_settings

SERIES = {
    "200 x 256 x 256, 1 mm": ((200, 256, 256), (1.0, 1.0, 1.0)),
    "200 x 512 x 512, 1 x 0.5 x 0.5 mm": ((200, 512, 512), (1.0, 0.5, 0.5)),
}
LESIONS = 10
TARGET_GIB = 4.0
EXAMPLES = """examples:
  python -m benchmarks memory
  python -m benchmarks memory --model models/segresnet --series 0
"""


@dataclass(frozen=True)
class Use:
    """Resident memory of one process, and how long its job took."""

    loaded_bytes: int
    peak_bytes: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when the target is met."""
    parser = new_parser(
        "memory",
        "Measure the peak of resident memory of a whole job on the CPU, each in a process of its own.",
        EXAMPLES,
    )
    add_model(parser)
    parser.add_argument("--series", type=int, choices=range(len(SERIES)), help="only this one (default: both)")
    options = parser.parse_args(arguments)

    model = model_path(options.model)
    chosen = [name for number, name in enumerate(SERIES) if options.series in (None, number)]
    uses = {}
    with own_orthanc() as account:
        for name in tqdm(chosen, unit="job", leave=False, disable=None):
            study = in_fresh_process(store_series, account, *SERIES[name])
            uses[name] = in_fresh_process(run_job, account, study, model)
    header = ["series", "model loaded, GiB", "peak, GiB", "job, s"]
    rows = [
        [name, f"{use.loaded_bytes / GIB:.2f}", f"{use.peak_bytes / GIB:.2f}", f"{use.seconds:.1f}"]
        for name, use in uses.items()
    ]
    print(table(header, rows))
    print()
    peak = max(use.peak_bytes for use in uses.values()) / GIB
    return 0 if verdict(f"at most {peak:.2f} GiB, less than {TARGET_GIB:g} GiB", met=peak < TARGET_GIB) else 1


def store_series(account: Account, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> str:
    """Store a head and return its StudyInstanceUID."""
    from benchmarks.subjects import make_subject

    datasets = make_subject(shape, spacing, LESIONS).datasets
    connect(account).store(datasets)
    return str(datasets[0].StudyInstanceUID)


def run_job(account: Account, study_instance_uid: str, model: Path) -> Use:
    """Segment a study as the worker does."""
    from segmentation import segment_study
    from unetr.predictor import open_model

    predictor = open_model(load_settings(), model, "cpu")
    loaded, start = peak_bytes(), time.perf_counter()
    segment_study(connect(account), predictor, job_id=str(uuid.uuid4()), study_instance_uid=study_instance_uid)
    return Use(loaded, peak_bytes(), time.perf_counter() - start)
