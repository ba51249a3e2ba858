"""``python -m unetr synthesize``: write labelled synthetic volumes."""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from unetr.synthesis.anatomy import mni152
from unetr.synthesis.generator import synthesize
from unetr.synthesis.pool import case_names, write_case

_EXAMPLES = """examples:
  python -m unetr synthesize runs/pool --count 200
  python -m unetr synthesize runs/validation --count 12 --seed 900000
  python -m unetr synthesize runs/healthy --count 5 --lesions 0 --whole-head
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write synthetic post-contrast T1 heads with known metastases. Runs again where it stopped."
    parser.epilog = _EXAMPLES
    parser.add_argument("folder", type=Path, help="where the volumes go (NIfTI)")
    parser.add_argument("--count", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="volume i is made from seed + i (default: %(default)s)")
    parser.add_argument("--lesions", type=int, help="lesions in each volume (default: 0-30 at random)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--whole-head", dest="stripped", action="store_false", default=None)
    kind.add_argument("--stripped", dest="stripped", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    options.folder.mkdir(parents=True, exist_ok=True)
    anatomy = mni152().to(options.device)
    there = set(case_names(options.folder))
    for seed in tqdm(range(options.seed, options.seed + options.count), unit="volume"):
        name = f"synthetic_{seed:06d}"
        if name not in there:
            volume = synthesize(anatomy, seed, lesions=options.lesions, stripped=options.stripped)
            write_case(options.folder, name, volume)
    return 0
