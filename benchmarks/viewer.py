"""``python -m benchmarks viewer``: frames as a viewer that scrolls asks for them, from Orthanc and by our ways.

The client is as thin as can be (bytes on sockets), so that what is compared are the servers.
"""

import base64
import dataclasses
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from pydicom import Dataset
from tqdm import tqdm

from benchmarks.arguments import new_parser
from benchmarks.isolation import FIRST_PORT, connect, own_orthanc
from benchmarks.report import table, verdict
from services import front
from services.launcher import not_ready
from services.orthanc import Account
from services.processes import Services, free_port
from settings import ROOT, Settings, load_settings
from tests import factory

ROWS, SPACING = 256, (1.0, 1.0, 1.0)
TARGET_SHARE = 0.8
READY_SECONDS = 120.0
EXAMPLES = """examples:
  python -m benchmarks viewer
  python -m benchmarks viewer --frames 400 --parallel 6 --rounds 15
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when the best of our ways is fast enough."""
    parser = new_parser(
        "viewer",
        "Fetch the frames of a series in parallel: from Orthanc, through the API, and through nginx.",
        EXAMPLES,
    )
    parser.add_argument("--frames", type=int, default=200, help="slices of the series (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=10, help="connections (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="of each way, taken in turns (default: %(default)s)")
    options = parser.parse_args(arguments)

    with own_orthanc() as account, tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        datasets = factory.series_datasets(factory.volume(shape=(options.frames, ROWS, ROWS), spacing=SPACING))
        connect(account).store(datasets)
        services = opened.enter_context(Services(Path(folder) / "log"))
        ways = _start(services, account, Path(folder))
        pool = opened.enter_context(ThreadPoolExecutor(options.parallel))
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for round_ in tqdm(range(options.rounds + 1), unit="round", leave=False, disable=None):
            for name, (url, login) in ways.items():
                spent = _scroll(pool, options.parallel, url, login, datasets)
                if round_:  # the first opens files and starts threads
                    seconds[name].append(spent)

    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    straight = medians["Orthanc"]
    rows = [
        [name, f"{1000 * spent:.0f} ms", f"{options.frames / spent:.0f}", f"{straight / spent:.2f}"]
        for name, spent in medians.items()
    ]
    print(f"{options.frames} frames of {ROWS} x {ROWS}, {options.parallel} at a time, median of {options.rounds}:\n")
    print(table(["by way of", "time", "frames/s", "speed against Orthanc"], rows))
    print()
    name = "nginx" if "nginx" in medians else "the API"
    share = straight / medians[name]
    met = verdict(f"through {name}: {share:.2f} of Orthanc's speed (target {TARGET_SHARE})", met=share >= TARGET_SHARE)
    return 0 if met else 1


def _start(services: Services, account: Account, folder: Path) -> dict[str, tuple[str, str]]:
    """Start our ways; gives name -> (address, what goes into the header Authorization)."""
    environ = {
        "ORTHANC_URL": account.url,
        "ORTHANC_USERNAME": account.username,
        "ORTHANC_PASSWORD": account.password,
        "API_PORT": str(free_port(FIRST_PORT + 1)),
        "VAR_DIR": str(folder / "var"),
    }
    settings: Settings = load_settings(environ, None)
    services.start("API", [sys.executable, "api.py"], ROOT, environ)
    api = f"http://127.0.0.1:{settings.api_port}"
    services.wait_for("API", not_ready(f"{api}/health"), READY_SECONDS)
    login = base64.b64encode(f"{account.username}:{account.password}".encode()).decode()
    ways = {"Orthanc": (account.url, f"Basic {login}"), "the API": (api, "")}
    if front.is_possible(settings):
        started = front.start(services, dataclasses.replace(settings, front_port=free_port(FIRST_PORT + 2)))
        ways["nginx"] = (front.url(started), "")
    else:
        print("nginx is not installed: only the API is compared\n")
    return ways


def _scroll(pool: ThreadPoolExecutor, parallel: int, url: str, login: str, datasets: Sequence[Dataset]) -> float:
    """Return the seconds until every frame is there."""
    start = time.perf_counter()
    shares = [datasets[k::parallel] for k in range(parallel)]
    list(pool.map(lambda share: _fetch(url, login, share), shares))
    return time.perf_counter() - start


def _fetch(url: str, login: str, datasets: Sequence[Dataset]) -> None:
    """Fetch one frame of each instance over one connection, and see that the pixels came."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or 80
    with socket.create_connection((host, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file = connection.makefile("rb", buffering=1 << 17)
        for one in datasets:
            path = f"/dicom-web/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}/instances/"
            lines = [
                f"GET {path}{one.SOPInstanceUID}/frames/1 HTTP/1.1",
                f"Host: {address.netloc}",
                'Accept: multipart/related; type="application/octet-stream"; transfer-syntax=*',
                *([f"Authorization: {login}"] if login else []),
            ]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            head = b"".join(iter(file.readline, b"\r\n"))
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise RuntimeError(f"{url} answered {head.splitlines()[:1]}")
            if one.PixelData not in file.read(int(length[1])):
                raise RuntimeError(f"{url} sent other pixels than were stored")
