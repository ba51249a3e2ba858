"""``python -m unetr synthesize``: write labelled synthetic volumes."""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from unetr.commands.heads import add_head_options, chosen_anatomy, described
from unetr.commands.options import check_folder, whole
from unetr.synthesis.generator import synthesize
from unetr.synthesis.pool import is_written, write_case

_EXAMPLES = """examples:
  python -m unetr synthesize runs/pool --count 200
  python -m unetr synthesize runs/healthy --count 5 --lesions 0 --whole-head
  python -m unetr synthesize runs/folds --count 50 --anatomy head/t1.nii.gz head/brain.nii.gz
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write synthetic post-contrast T1 heads with known metastases. Runs again where it stopped, with the same "
        "options."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("folder", type=Path, help="where the volumes go (NIfTI)")
    parser.add_argument("--count", type=whole(1), default=100, help="how many (default: %(default)s)")
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="volume i is made from seed + i (default: %(default)s)"
    )
    add_head_options(parser)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    check_folder(options.folder)
    options.folder.mkdir(parents=True, exist_ok=True)
    anatomy = chosen_anatomy(options).to(options.device)
    made_with = described(options)
    names = {f"synthetic_{seed:06d}": seed for seed in range(options.seed, options.seed + options.count)}
    missing = {name: seed for name, seed in names.items() if not is_written(options.folder, name, made_with)}
    for name, seed in tqdm(missing.items(), unit="volume"):
        volume = synthesize(anatomy, seed, lesions=options.lesions, stripped=options.stripped)
        write_case(options.folder, name, volume, made_with)
    return 0
