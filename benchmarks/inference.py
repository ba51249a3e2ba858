"""``python -m benchmarks inference``: a network over a whole volume, as MONAI runs it and as the server does."""

import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from benchmarks.arguments import new_parser
from benchmarks.isolation import in_fresh_process
from benchmarks.report import GIB, Skipped, model_path, table, verdict
from benchmarks.ways import (
    BATCH_ON_GPU,
    FULL,
    MONAI_FLOAT32,
    MONAI_HALF,
    SERVER,
    SHAPE,
    Run,
    find_network,
    run_volume,
    ways_here,
)

if TYPE_CHECKING:
    from benchmarks.roofline import Peak, Work

QUICK = (144, 144, 96)
"""mm."""
FASTER_THAN_FLOAT32, FASTER_THAN_HALF = 8.0, 2.0
"""On a CPU."""
FASTER_THAN_HALF_ON_GPU, MOST_GPU_GIB = 3.0, 4.0
CARD, MOST_SECONDS = "H100", 0.15
"""On any other card the time of a volume is printed, and not judged."""
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
    card, work = _card(), _describe(model)
    peak = _print_peak(work)
    if quick:
        print(f"quick: {' x '.join(map(str, QUICK))} mm, nothing but head; nothing is extrapolated to a whole volume")
    slowest = runs.get(MONAI_FLOAT32)
    header = ["", "windows", "volume, s", "a window, s", "windows/s", "of peak", "of copy", "faster", "memory, GiB"]
    lines = [
        [
            name if name == run.engine or name.startswith("MONAI") else f"{name} = {run.engine}",
            str(run.windows),
            f"{run.seconds:.3f}",
            f"{statistics.median(run.by_window):.4f}",
            f"{run.windows / run.seconds:.1f}",
            f"{run.windows * work.flops / run.seconds / peak.flops:.0%}",
            f"{run.windows * work.bytes / run.seconds / peak.bytes:.0%}",
            f"{slowest.seconds / run.seconds:.1f} x" if slowest else "",
            f"{run.peak_bytes / GIB:.2f}",
        ]
        for name, run in runs.items()
    ]
    print(table(header, lines))
    if ours := runs.get(SERVER):
        stages = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in ours.stages.items())
        print(f"\n{SERVER} once more, each stage waited for, s: {stages}")
    print()
    return quick or model != FULL or judge(runs, card)


def judge(runs: dict[str, Run], card: str | None) -> bool:
    """Print what is asked of the server's prediction, and whether it is met.

    Parameters
    ----------
    runs
        By the name of the way; what is missing is not judged.
    card
        Name of the GPU; None on a CPU.
    """
    ours = runs.get(SERVER)
    if ours is None:
        return True
    on_cpu = {MONAI_FLOAT32: FASTER_THAN_FLOAT32, MONAI_HALF: FASTER_THAN_HALF}
    met = []
    for name, target in ({MONAI_HALF: FASTER_THAN_HALF_ON_GPU} if card else on_cpu).items():
        if name in runs:
            ratio = runs[name].seconds / ours.seconds
            met.append(verdict(f"{ratio:.1f} times as fast as {name}, at least {target:g}", met=ratio >= target))
    if card:
        met.append(verdict(f"{ours.engine} runs it, torch-cuda is to", met=ours.engine == "torch-cuda"))
        memory = ours.peak_bytes / GIB
        met.append(verdict(f"{memory:.2f} GiB reserved, at most {MOST_GPU_GIB:g} GiB", met=memory <= MOST_GPU_GIB))
        if CARD in card:
            text = f"{ours.seconds:.3f} s a volume on {card}, at most {MOST_SECONDS:g} s"
            met.append(verdict(text, met=ours.seconds <= MOST_SECONDS))
        else:
            print(f"        {ours.seconds:.3f} s a volume on {card}: judged on an {CARD} only")
    return all(met)


def _card() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _describe(model: str) -> "Work":
    """Print the size and work of a network; gives the work of a window."""
    from benchmarks.roofline import work_of

    network = find_network(model)
    loaded = network.load()
    million = sum(weight.numel() for weight in loaded.parameters()) / 1e6
    work = work_of(loaded, network.window, BATCH_ON_GPU if _card() else 1)
    window, overlap = " x ".join(map(str, network.window)), network.overlap
    print(
        f"{model}: {million:.1f} million weights, {work.flops / 1e9:.0f} GFLOP and {work.bytes / 1e9:.1f} GB "
        f"a window of {window}, overlap {overlap:g}."
    )
    return work


def _print_peak(work: "Work") -> "Peak":
    """Print what this machine reaches at most, and how long a window would take at that."""
    import torch

    from benchmarks.roofline import half, peak_of

    card = _card()
    if card:
        versions = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        print(f"GPU {card}, {torch.cuda.get_device_properties(0).total_memory / GIB:.0f} GiB, {versions}")
    device = torch.device("cuda" if card else "cpu")
    peak = in_fresh_process(peak_of, device)  # what it takes of a GPU's memory is missing to nobody afterwards
    precision = str(half(device)).removeprefix("torch.")
    print(
        f"A large {precision} matrix product reaches {peak.flops / 1e9:.0f} GFLOP/s, a large copy "
        f"{peak.bytes / 1e9:.0f} GB/s: at that, {work.flops / peak.flops:.4f} and {work.bytes / peak.bytes:.4f} s "
        "a window."
    )
    return peak
