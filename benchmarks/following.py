"""How well lesions are followed through simulated patients: ``python -m benchmarks.following``."""

import argparse
import time

import numpy as np

from rano.following import thread
from tests.patients import Figures, score, simulate_patient


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    started = time.perf_counter()
    figures = simulate(given.patients, given.seed)
    kinds = ", ".join(f"{count} {kind}" for kind, count in figures.kinds.items())
    print(f"{figures.patients} patients of 6 visits, {figures.lesions} lesions seen, {figures.links} links ({kinds})")
    print(f"right {figures.right:.2%}; wrong {figures.wrong}, of them not flagged {figures.wrong_unflagged}")
    print(f"flagged for review {figures.flagged} ({figures.flagged / max(figures.links, 1):.1%})")
    print(f"{time.perf_counter() - started:.0f} s, the simulation included")


if __name__ == "__main__":
    main()
