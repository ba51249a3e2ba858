"""``python -m benchmarks pipeline``: the time of everything around the network, on a real Orthanc.

A predictor that knows the answer stands in for the network; the rest is the server's own ``segment_study``.
"""

import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from unittest.mock import patch

from tqdm import tqdm

from benchmarks.arguments import new_parser
from benchmarks.isolation import connect, in_fresh_process, own_orthanc
from benchmarks.report import table, verdict
from services.orthanc import Account

SHAPE, SPACING = (200, 256, 256), (1.0, 1.0, 1.0)
TARGET_SECONDS = 2.0
STEPS = {"fetching": "fetch", "reading": "read", "measuring": "label + measure"}
"""The stages of a job that are one step here; writing is three, and the network's is left out."""
EXAMPLES = """examples:
  python -m benchmarks pipeline
  python -m benchmarks pipeline --lesions 1 10 30 100 --repeats 9
"""


class Laps:
    """A job's reporter that keeps the wall and processor seconds of each step; one step ends where the next begins."""

    def __init__(self) -> None:
        self.wall: defaultdict[str, float] = defaultdict(float)
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self._lap: tuple[str, float, float] | None = None

    def begin(self, step: str | None) -> None:
        """End the step that runs, and begin another."""
        now = time.perf_counter(), time.process_time()
        if self._lap:
            name, wall, cpu = self._lap
            self.wall[name] += now[0] - wall
            self.cpu[name] += now[1] - cpu
        self._lap = (step, *now) if step else None

    def stage(self, state: str) -> None:
        """Begin the step that a stage of the job stands for."""
        self.begin(STEPS.get(state))

    def progress(self, fraction: float) -> None:
        """Nobody looks."""

    def around(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with the step beginning where it begins."""

        def stepping(*arguments: Any) -> Any:
            self.begin(step)
            return function(*arguments)

        return stepping


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when the target is met."""
    parser = new_parser(
        "pipeline",
        "Time everything around the network: a series of 200 slices through a whole job on a real Orthanc.",
        EXAMPLES,
    )
    parser.add_argument("--lesions", type=int, nargs="+", default=[10, 30], help="in the series (default: 10 30)")
    parser.add_argument("--repeats", type=int, default=7, help="warm runs; their median counts (default: %(default)s)")
    options = parser.parse_args(arguments)

    with own_orthanc() as account:
        bar = tqdm(options.lesions, unit="series", leave=False, disable=None)
        runs = {count: in_fresh_process(run_jobs, account, count, options.repeats) for count in bar}
    print(f"{SHAPE[0]} slices of {SHAPE[1]} x {SHAPE[2]}. First: the first job of a new process; warm: the median of")
    print(f"{options.repeats} more. Seconds on the clock, and in brackets of the worker's own processor time.\n")
    print(_table(runs))
    print()
    met = [
        verdict(f"{count} lesions: {seconds:.2f} s, less than {TARGET_SECONDS:g} s", met=seconds < TARGET_SECONDS)
        for count, jobs in runs.items()
        for seconds in [statistics.median(_seconds(job.wall, "total") for job in jobs[1:])]
    ]
    return 0 if all(met) else 1


def run_jobs(account: Account, lesions: int, repeats: int) -> list[Laps]:
    """Store a series, segment it ``1 + repeats`` times, and return the times of each job."""
    from benchmarks.subjects import KnowingPredictor, make_subject
    from results.objects import OUTPUTS
    from segmentation import segment_study

    subject = make_subject(SHAPE, SPACING, lesions)
    datasets = subject.datasets
    archive = connect(account)
    archive.store(datasets)
    predictor = cast(Any, KnowingPredictor(subject))  # all of a Predictor that a job uses
    jobs = []
    for _ in range(1 + repeats):
        laps = Laps()
        builders = {kind: laps.around(kind, build) for kind, build in OUTPUTS.items()}
        store = laps.around("store", archive.store)
        with patch.dict(OUTPUTS, builders), patch.object(archive, "store", store):
            outcome = segment_study(
                archive,
                predictor,
                job_id=str(uuid.uuid4()),
                study_instance_uid=str(datasets[0].StudyInstanceUID),
                reporter=laps,
            )
        laps.begin(None)
        assert len(outcome.lesions) == lesions
        jobs.append(laps)
        for series in outcome.written.values():  # so that the next job finds the study as this one did
            archive.retire_series(series)
    return jobs


def _table(runs: dict[int, list[Laps]]) -> str:
    """One line per step: for each number of lesions the first job and the median of the others; their ratio."""
    counts = list(runs)
    header = ["step", *(f"{count} lesions, {kind}" for count in counts for kind in ("first", "warm"))]
    if len(counts) > 1:
        header.append(f"{counts[-1]} : {counts[0]}")
    rows = []
    for step in [*runs[counts[0]][0].wall, "total"]:
        row, warm = [step], []
        for first, *others in runs.values():
            seconds = [[_seconds(job.wall, step), _seconds(job.cpu, step)] for job in (first, *others)]
            wall, cpu = (statistics.median(column) for column in zip(*seconds[1:], strict=True))
            row += ["{:.2f} ({:.2f})".format(*seconds[0]), f"{wall:.2f} ({cpu:.2f})"]
            warm.append(wall)
        rows.append([*row, f"{warm[-1] / warm[0]:.1f}"] if len(counts) > 1 else row)
    return table(header, rows)


def _seconds(laps: Mapping[str, float], step: str) -> float:
    return sum(laps.values()) if step == "total" else laps[step]
