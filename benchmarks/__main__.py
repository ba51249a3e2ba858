"""``python -m benchmarks``: every benchmark, or one of them by name."""

import argparse
import importlib
import sys
import time
from collections.abc import Sequence

from benchmarks.report import Skipped, machine

BENCHMARKS = {
    "pipeline": "time of everything around the network, on a real Orthanc",
    "inference": "a network over a whole volume: MONAI's sliding window beside the server's engines",
    "job": "time of a whole job with the model, stage by stage",
    "memory": "peak memory of a whole job on the CPU",
    "roundtrip": "masks through SEG and RTSTRUCT and back, voxel by voxel; DICOM conformance",
    "measuring": "time of label and measure on a large mask; error on shapes of known size",
    "demo": "error of the demo's lesions with the shipped model",
    "followup_page": "weight of the follow-up page, and how soon it is to be seen",
    "following": "links of lesions from visit to visit, in simulated patients",
    "timeline": "time of a patient's course over HTTP",
    "overlay": "from the end of inference to lesions on the screen",
    "upload": "memory of the API while a study is sent to it by the published front-end's upload",
    "viewer": "frames while scrolling: straight from Orthanc, through the API, through nginx",
}
EXAMPLES = """examples:
  python -m benchmarks                       all, one after the other
  python -m benchmarks pipeline --lesions 30
  python -m benchmarks memory --help
  python -m benchmarks > report.txt          progress stays on the terminal

The exit status is 0 when every target is met. What cannot be run here is skipped, and says why.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks and return 0 when every target is met."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] in BENCHMARKS:
        if not {"-h", "--help"} & set(arguments):
            print(machine())
        return _run(arguments[0], arguments[1:])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure how good and how fast MetIA server is on this machine.",
        epilog="\n".join([*(f"  {name:<10} {what}" for name, what in BENCHMARKS.items()), "", EXAMPLES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="which one, with its own --help (default: all)")
    parser.parse_args(arguments)
    print(machine())
    return max([_run(name, []) for name in BENCHMARKS])


def _run(name: str, arguments: list[str]) -> int:
    """Run one benchmark; each is a module with a ``main``, imported only when wanted."""
    try:
        benchmark = importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        print(f"\nskipped: {name}: {error}: pip install -r requirements-dev.txt")
        return 0
    if {"-h", "--help"} & set(arguments):
        return int(benchmark.main(arguments))  # which ends the program, with no heading above it
    print(f"\n== {name}: {BENCHMARKS[name]} ==\n", flush=True)
    start = time.perf_counter()
    try:
        status = int(benchmark.main(arguments))
    except Skipped as reason:
        print(f"skipped: {reason}")
        return 0
    print(f"({time.perf_counter() - start:.0f} s)", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
