"""``python -m benchmarks timeline``: how long the course of a patient with many visits and lesions takes over HTTP."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
from flask.testing import FlaskClient

from api import create_app
from BDD import store
from benchmarks.arguments import new_parser
from benchmarks.report import table, verdict
from settings import load_settings
from tests.followup_factory import FIRST_DAY, patient_key, sized, visit
from tests.store_factory import new_worker

TARGET_MS = 100.0
WHAT = ("timeline", "timeline.csv", "changes", "report.pdf")
EXAMPLES = """examples:
  python -m benchmarks timeline
  python -m benchmarks timeline --visits 60 --lesions 40
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when the target is met."""
    parser = new_parser("timeline", "Time the answers about one patient, from the database to the last byte.", EXAMPLES)
    parser.add_argument("--visits", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--lesions", type=int, default=20, help="seen at every visit (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=15, help="requests; the median counts (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        medians = time_answers(Path(folder), options.visits, options.lesions, options.repeats)
    print(f"{options.visits} visits x {options.lesions} lesions, median of {options.repeats}\n")
    rows = [[name, f"{wall:.0f}", f"{processor:.0f}"] for name, (wall, processor) in medians.items()]
    print(table(["/patients/{id}/", "ms", "of a processor"], rows) + "\n")
    median, _ = medians["timeline"]
    return 0 if verdict(f"timeline in {median:.0f} ms (less than {TARGET_MS:.0f} ms)", met=median < TARGET_MS) else 1


def time_answers(folder: Path, visits: int, lesions: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Make a patient in a new database, ask the API through Flask's test client; give milliseconds by address.

    Returns
    -------
    dict
        Medians: on the clock, and of processor time, which other programs on the machine lengthen less.
    """
    client = create_app(load_settings({"VAR_DIR": str(folder), "MODEL_PATH": str(folder / "none")}, None)).test_client()
    database = store.open_database(f"sqlite:///{folder.as_posix()}/metia.db")
    worker = new_worker(database)
    rng = np.random.default_rng(1)
    sizes = rng.uniform(6, 30, lesions) * np.cumprod(rng.uniform(0.9, 1.1, (visits, lesions)), axis=0)
    for number, longest in enumerate(sizes):
        found = [sized(label, mm) for label, mm in enumerate(longest.tolist(), start=1)]
        visit(database, worker, number, found, day=FIRST_DAY + timedelta(weeks=8 * number))
    patient = patient_key(database)
    medians = {}
    for name in WHAT:
        times = [_milliseconds(client, f"/patients/{patient}/{name}") for _ in range(repeats + 1)]
        wall, processor = zip(*times[1:], strict=True)  # the first one loads what the others find loaded
        medians[name] = statistics.median(wall), statistics.median(processor)
    database.dispose()
    return medians


def _milliseconds(client: FlaskClient, address: str) -> tuple[float, float]:
    start = time.perf_counter(), time.process_time()
    answer = client.get(address)
    size = len(answer.data)
    end = time.perf_counter(), time.process_time()
    if answer.status_code != 200 or not size:
        raise RuntimeError(f"{address} answers {answer.status_code}")
    return 1000 * (end[0] - start[0]), 1000 * (end[1] - start[1])
