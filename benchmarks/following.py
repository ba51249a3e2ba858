"""``python -m benchmarks following``: how well lesions are followed through simulated patients."""

from collections.abc import Sequence

import numpy as np

from benchmarks.arguments import new_parser
from benchmarks.report import table, verdict
from rano.following import thread
from tests.patients import Figures, score, simulate_patient

RIGHT = 0.99
EXAMPLES = """examples:
  python -m benchmarks following
  python -m benchmarks following --patients 20 --seed 32
"""


def simulate(n_patients: int, seed: int) -> Figures:
    """Simulate patients of 6 visits, follow their lesions, and compare with the truth.

    Parameters
    ----------
    n_patients
        How many.
    seed
        The same seed gives the same patients.
    """
    rng = np.random.default_rng(seed)
    courses = [simulate_patient(rng) for _ in range(n_patients)]
    return score([(course, thread([one.visit for one in course])) for course in courses])


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print, and return 0 when every target is met."""
    parser = new_parser(
        "following",
        "Follow lesions through simulated patients of 6 visits, and compare the links with the truth.",
        EXAMPLES,
    )
    parser.add_argument("--patients", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="other patients (default: %(default)s)")
    options = parser.parse_args(arguments)
    figures = simulate(options.patients, options.seed)
    print(f"{figures.patients} patients, {figures.lesions} lesions seen, {figures.links} links\n")
    print(table(["link", "number"], [[kind, str(count)] for kind, count in figures.kinds.items()]) + "\n")
    print(f"for review: {figures.flagged} ({figures.flagged / max(figures.links, 1):.1%})")
    targets = [
        verdict(f"{figures.right:.2%} of the links are right (at least {RIGHT:.0%})", met=figures.right >= RIGHT),
        verdict(
            f"{figures.wrong_unflagged} of {figures.wrong} wrong links not flagged (none)",
            met=not figures.wrong_unflagged,
        ),
    ]
    return 0 if all(targets) else 1
