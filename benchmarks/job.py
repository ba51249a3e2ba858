"""``python -m benchmarks job``: a whole job as the worker runs it, stage by stage, on a real Orthanc.

Beside it the published system's inference, measured on the same volume: its network, its grid, its windows.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tqdm import tqdm

from benchmarks.arguments import add_model, new_parser
from benchmarks.clock import wait
from benchmarks.isolation import connect, in_fresh_process, own_orthanc
from benchmarks.pipeline import SHAPE, SPACING, Laps
from benchmarks.report import model_path, table, verdict
from benchmarks.subjects import make_subject
from rano.history import Rules
from services.orthanc import Account
from settings import load_settings

LESIONS = 10
TARGET_SECONDS = 20.0
OUTPUTS = ("SEG", "RTSTRUCT", "SR")
STEPS = {
    "fetching": "fetch",
    "reading": "read",
    "segmenting": "prepare",
    "measuring": "measure, follow",
    "writing": "write objects",
}
"""The stages of a job; segmenting is three steps here, writing two in turn, and the database has what is around."""
AT_ONCE = 4
"""Windows that the published system runs together."""
EXAMPLES = """examples:
  python -m benchmarks job
  python -m benchmarks job --model models/unetr --repeats 5
"""


@dataclass
class Jobs:
    """What a new worker took to load its network, and for each of its jobs; how many lesions it found in the first."""

    engine: str
    loading: float
    lesions: int = 0
    laps: list[Laps] = field(default_factory=list)


@dataclass(frozen=True)
class Published:
    """What it ran on, windows, voxels of the grid, and seconds of each time the volume was run."""

    device: str
    windows: int
    grid: tuple[int, ...]
    seconds: list[float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when the target is met."""
    parser = new_parser(
        "job",
        "Time a job on a series of 200 slices, from the archive and back into it, as the worker runs it.",
        EXAMPLES,
    )
    add_model(parser)
    parser.add_argument("--repeats", type=int, default=3, help="after the first (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats must be 1 or more")

    model = model_path(options.model)
    with own_orthanc() as account:
        jobs = in_fresh_process(run_jobs, account, model, options.repeats)
    rows = [[step, f"{jobs.laps[0].wall[step]:.2f}", f"{_median(jobs, step):.2f}"] for step in jobs.laps[0].wall]
    first, later = sum(jobs.laps[0].wall.values()), statistics.median(sum(job.wall.values()) for job in jobs.laps[1:])
    print(f"{SHAPE[0]} slices of {SHAPE[1]} x {SHAPE[2]}, {jobs.lesions} lesions found, {', '.join(OUTPUTS)} written.")
    print(f"{model.name} on {jobs.engine}, loaded in {jobs.loading:.1f} s when the worker starts.\n")
    header = ["seconds", "first job of a new worker", f"median of {options.repeats} more"]
    print(table(header, [*rows, ["all of it", f"{first:.2f}", f"{later:.2f}"]]), end="\n\n", flush=True)
    published = in_fresh_process(run_published, options.repeats)
    grid = " x ".join(map(str, published.grid))
    print("The published system's inference alone, on this volume: a UNETR of 92.8 million random weights, MONAI's")
    print(f"sliding window, float32, overlap 0; {published.windows} windows of its {grid} grid, {AT_ONCE} at a time,")
    first_s, *later_s = published.seconds
    print(f"on {published.device}: {first_s:.1f} s the first time, {statistics.median(later_s):.1f} s later.\n")
    met = [
        verdict(f"{which} in {seconds:.1f} s, at most {TARGET_SECONDS:g} s", met=seconds <= TARGET_SECONDS)
        for which, seconds in (("the first job", first), ("later ones", later))
    ]
    return 0 if all(met) else 1


def _median(jobs: Jobs, step: str) -> float:
    return statistics.median(job.wall[step] for job in jobs.laps[1:])


def run_jobs(account: Account, model: Path, repeats: int) -> Jobs:
    """Store a series and be a worker that segments it ``1 + repeats`` times, as if it had not been seen before."""
    start = time.perf_counter()
    from unetr import predictor

    loaded = predictor.open_model(load_settings(), model)
    jobs = Jobs(loaded.engine.name, time.perf_counter() - start)

    from BDD import migrate, store
    from segmentation import segment_study
    from services.runner import Worker

    datasets = make_subject(SHAPE, SPACING, LESIONS).datasets
    study, series = str(datasets[0].StudyInstanceUID), str(datasets[0].SeriesInstanceUID)
    archive = connect(account)
    archive.store(datasets)
    laps = Laps()

    def segment(*arguments: Any, reporter: Any, **options: Any) -> Any:
        announce = reporter.stage

        def stage(state: str) -> None:
            laps.begin(STEPS[state])
            announce(state)

        with patch.object(reporter, "stage", stage):
            outcome = segment_study(*arguments, reporter=reporter, **options)
        laps.begin("log")
        return outcome

    def timed(step: str, function: Callable[..., Any], then: str) -> Callable[..., Any]:
        def stepping(*arguments: Any, **options: Any) -> Any:
            laps.begin(step)
            result = function(*arguments, **options)
            wait(loaded.device)  # a GPU may still be at it
            laps.begin(then)
            return result

        return stepping

    with (
        tempfile.TemporaryDirectory(prefix="metia-benchmark-") as folder,
        patch.object(predictor, "slide", timed("run the network", predictor.slide, "bring back")),
        patch.object(archive, "store", timed("store", archive.store, STEPS["writing"])),
    ):
        url = f"sqlite:///{Path(folder, 'metia.db').as_posix()}"
        migrate.upgrade(url)
        database = store.open_database(url)
        number = store.worker_started(database, pid=os.getpid())
        queue = f"sqlite:///{Path(folder, 'queue.db').as_posix()}"
        worker = Worker(database, queue, archive, lambda _: loaded, number, (), Rules(), segment)
        for _ in tqdm(range(1 + repeats), unit="job", leave=False, disable=None):
            wanted = {"study_instance_uid": study, "series_instance_uid": series, "selection": {}, "outputs": OUTPUTS}
            job_id = store.create_job(database, **wanted).job_id
            laps = Laps()
            laps.begin("log")
            worker.run_job(job_id)
            laps.begin(None)
            job = store.get_job(database, job_id)
            assert job.state == "done", job.problem
            jobs.laps.append(laps)
            jobs.lesions = len(job.lesions)
            for result in job.results:
                archive.retire_series(result.series_instance_uid)
            store.forget_study(database, study)
    return jobs


def run_published(repeats: int) -> Published:
    """Time the published system's network on its grid, ``1 + repeats`` times; nothing of ours is between."""
    import numpy as np
    import torch
    from monai.inferers import sliding_window_inference

    from benchmarks.ways import FULL, find_network
    from unetr.preprocessing import PRESETS

    subject = make_subject(SHAPE, SPACING, LESIONS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    volume = PRESETS["metia"](subject.volume.array.astype(np.float32), subject.volume.affine, device).volume
    network, windows, seconds = find_network(FULL), 0, []
    unetr = network.load().to(device)

    def run(batch: torch.Tensor) -> Any:
        nonlocal windows
        windows += len(batch)
        return unetr(batch)

    for _ in range(1 + repeats):
        start = time.perf_counter()
        with torch.no_grad():
            logits: Any = sliding_window_inference(volume[None, None], network.window, AT_ONCE, run, overlap=0)
            logits.argmax(1).cpu()
        seconds.append(time.perf_counter() - start)
    return Published(device.type, windows // (1 + repeats), tuple(volume.shape), seconds)
