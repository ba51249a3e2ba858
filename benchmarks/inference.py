"""``python -m benchmarks inference``: a network over a whole volume, as MONAI runs it and as the server does."""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.arguments import new_parser
from benchmarks.isolation import in_fresh_process
from benchmarks.report import GIB, Skipped, model_path, table, verdict
from benchmarks.ways import FULL, MONAI_FLOAT32, MONAI_HALF, SERVER, SHAPE, Run, find_network, run_volume, ways_here

QUICK = (144, 144, 96)
FASTER_THAN_FLOAT32, FASTER_THAN_HALF = 8.0, 2.0
EXAMPLES = """examples:
  python -m benchmarks inference
  python -m benchmarks inference --quick            a volume of four windows; no target is judged
  python -m benchmarks inference --rows openvino-cpu torch-cpu --model models/segresnet
  python -m benchmarks inference --sizes            the default model on 64 x 64 x 64 to 512 x 512 x 400 voxels
  python -m benchmarks inference --sizes 256x256x200 512x512x400 --plot sizes.png
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when the targets are met."""
    parser = new_parser(
        "inference",
        "Time a network over a volume with a whole head in it: MONAI's sliding window and this server's.",
        EXAMPLES,
    )
    parser.add_argument("--quick", action="store_true", help="a volume of four windows only")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these, of the table's first column")
    parser.add_argument("--model", help=f"only this: a bundle's folder, or {FULL} (default: {FULL}, and MODEL_PATH)")
    size_help = "time and memory by size of the volume (default: 64x64x64 to 512x512x400); nothing else is measured"
    parser.add_argument("--sizes", nargs="*", metavar="AxBxC", help=size_help)
    parser.add_argument("--plot", type=Path, help="draw the table of --sizes here (PNG)")
    options = parser.parse_args(arguments)
    if options.sizes is not None:
        from benchmarks import sizes

        chosen = [sizes.parse(size) for size in options.sizes]
        return sizes.main(model_path(Path(options.model) if options.model else None), chosen, options.plot)
    met = True
    for model in [options.model] if options.model else [FULL, None]:
        try:
            name = FULL if model == FULL else str(model_path(Path(model) if model else None))
        except Skipped as reason:
            print(f"skipped: {reason}")
        else:
            met &= _compare(name, options.rows, quick=options.quick)
    return 0 if met else 1


def _compare(model: str, rows: Sequence[str] | None, *, quick: bool) -> bool:
    """Print a table for one network and judge it; for the full UNETR only there are targets."""
    runs: dict[str, Run] = {}
    with tempfile.TemporaryDirectory(prefix="metia-benchmark-") as folder:
        names = [name for name in ways_here() if not rows or name in rows]
        for name in tqdm(names, desc=model, leave=False, disable=None):
            runs[name] = in_fresh_process(run_volume, name, model, QUICK if quick else SHAPE, Path(folder))
            tqdm.write(f"{name}: {runs[name].windows} windows in {runs[name].seconds:.1f} s", file=sys.stderr)
    slowest = runs.get(MONAI_FLOAT32)
    work, peak = _describe(model), _peak_flops()
    print(f"A large bfloat16 matrix product reaches {peak / 1e9:.0f} GFLOP/s: at that, {work / peak:.3f} s a window.")
    if quick:
        print(
            f"quick: {' x '.join(map(str, QUICK))} voxels, nothing but head; nothing is extrapolated to a whole volume"
        )
    header = ["", "windows", "volume, s", "a window, s", "windows/s", "of peak", "faster", "memory, GiB"]
    lines = [
        [
            name if name == run.engine or name.startswith("MONAI") else f"{name} = {run.engine}",
            str(run.windows),
            f"{run.seconds:.2f}",
            f"{statistics.median(run.by_window):.3f}",
            f"{run.windows / run.seconds:.1f}",
            f"{run.windows * work / run.seconds / peak:.0%}",
            f"{slowest.seconds / run.seconds:.1f} x" if slowest else "",
            f"{run.peak_bytes / GIB:.2f}",
        ]
        for name, run in runs.items()
    ]
    print(table(header, lines), end="\n\n")
    ours = runs.get(SERVER)
    if quick or model != FULL or not ours:
        return True
    met = []
    for name, target in ((MONAI_FLOAT32, FASTER_THAN_FLOAT32), (MONAI_HALF, FASTER_THAN_HALF)):
        if name in runs:
            ratio = runs[name].seconds / ours.seconds
            met.append(verdict(f"{ratio:.1f} times as fast as {name}, at least {target:g}", met=ratio >= target))
    return all(met)


def _describe(model: str) -> int:
    """Print the size and work of a network; gives the floating point operations of a window."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = find_network(model)
    weightless = network.load().to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        weightless(torch.zeros(1, 1, *network.window, device="meta"))
    million, work = sum(weight.numel() for weight in weightless.parameters()) / 1e6, counter.get_total_flops()
    window, overlap = " x ".join(map(str, network.window)), network.overlap
    print(f"{model}: {million:.1f} million weights, {work / 1e9:.0f} GFLOP a window of {window}, overlap {overlap:g}.")
    return work


def _peak_flops(edge: int = 4096) -> float:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, times = torch.randn(edge, edge, device=device, dtype=torch.bfloat16), []
    for _ in range(4):
        start = time.perf_counter()
        (a @ a)[0, 0].item()
        times.append(time.perf_counter() - start)
    return 2 * edge**3 / min(times)
