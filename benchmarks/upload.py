"""``python -m benchmarks upload``: memory of the API while the published front-end's upload is taken in."""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import requests
from pydicom.uid import UID, generate_uid
from tqdm import tqdm

from benchmarks.arguments import new_parser
from benchmarks.isolation import FIRST_PORT, own_orthanc, resident_bytes
from benchmarks.report import Skipped, table, verdict
from Orthanc import multipart
from services.launcher import not_ready
from services.orthanc import Account
from services.processes import Service, Services, free_port
from settings import ROOT
from tests import factory

MIB = 1 << 20
STUDIES = {
    "600 slices of 512 x 512": (600, 512),
    "2400 slices of 256 x 256": (2400, 256),
    "20 slices of 2048 x 2048": (20, 2048),
}
TARGET_MIB = 128
READY_SECONDS = 120.0
BOUNDARY = "metia-benchmark"
EXAMPLES = """examples:
  python -m benchmarks upload
  python -m benchmarks upload --times 4
"""


@dataclass(frozen=True)
class Use:
    """Bytes that were sent, resident memory of the API before and its peak, and how long it took."""

    sent: int
    before: int
    peak: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when the target is met."""
    parser = new_parser(
        "upload",
        "Send a study to POST /uploadDicom of an API of its own, and read the peak of its resident memory.",
        EXAMPLES,
    )
    parser.add_argument("--times", type=int, default=1, help="as many slices (default: %(default)s)")
    options = parser.parse_args(arguments)
    if resident_bytes("VmHWM") is None:
        raise Skipped("the memory of another process is read from /proc, which Linux alone has")

    uses = {}
    with own_orthanc() as account:
        for name, (slices, rows) in tqdm(STUDIES.items(), unit="study", leave=False, disable=None):
            uses[name] = _upload(account, slices * options.times, rows)
    lines = [
        [name, f"{use.sent / MIB:.0f}", f"{use.before / MIB:.0f}", f"{use.peak / MIB:.0f}", f"{use.seconds:.1f}"]
        for name, use in uses.items()
    ]
    print(table(["study", "sent, MiB", "API before, MiB", "its peak, MiB", "s"], lines))
    print()
    most = max(use.peak - use.before for use in uses.values()) / MIB
    return 0 if verdict(f"{most:.0f} MiB more at most, less than {TARGET_MIB}", met=most < TARGET_MIB) else 1


def _upload(account: Account, slices: int, rows: int) -> Use:
    """Start an API, send it a study, and end it."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        services = opened.enter_context(Services(Path(folder) / "log"))
        port = free_port(FIRST_PORT + 1)
        environ = {
            "ORTHANC_URL": account.url,
            "ORTHANC_USERNAME": account.username,
            "ORTHANC_PASSWORD": account.password,
            "API_PORT": str(port),
            "VAR_DIR": str(Path(folder) / "var"),
        }
        api = services.start("API", [sys.executable, "api.py"], ROOT, environ)
        services.wait_for("API", not_ready(f"http://127.0.0.1:{port}/health"), READY_SECONDS)
        before, body, start = _memory(api, "VmRSS"), _Body(slices, rows), time.perf_counter()
        answer = requests.post(
            f"http://127.0.0.1:{port}/uploadDicom",
            data=body,
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
            timeout=600,
        )
        if answer.status_code != 200:
            raise RuntimeError(f"POST /uploadDicom was answered with {answer.status_code}: {answer.text[:500]}")
        return Use(len(body), before, _memory(api, "VmHWM"), time.perf_counter() - start)


class _Body:
    """A form with the slices as its files, made while it is sent."""

    def __init__(self, slices: int, rows: int) -> None:
        self._slices = slices
        self._dataset = factory.series_datasets()[0]
        self._dataset.Rows = self._dataset.Columns = rows
        self._dataset.PixelData = bytes(2 * rows * rows)
        self._dataset.StudyInstanceUID, self._dataset.SeriesInstanceUID = generate_uid(), generate_uid()
        self._root = generate_uid()[:40].rstrip(".")
        self._end = f"--{BOUNDARY}--\r\n".encode()

    def __len__(self) -> int:
        return self._slices * len(self._part(0)) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        yield from map(self._part, range(self._slices))
        yield self._end

    def _part(self, number: int) -> bytes:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files[]"; filename="{number:05}.dcm"\r\n\r\n'
        uid = UID(f"{self._root}.1{number:05}")
        self._dataset.SOPInstanceUID = self._dataset.file_meta.MediaStorageSOPInstanceUID = uid
        return head.encode() + multipart.encode(self._dataset) + b"\r\n"


def _memory(service: Service, which: str) -> int:
    found = resident_bytes(which, service.process.pid)
    if found is None:
        raise RuntimeError(f"the API has no {which}")
    return found
