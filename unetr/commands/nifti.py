"""Finding NIfTI files by pattern, and their coordinates."""

from pathlib import Path

import numpy as np

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's world coordinates to DICOM's."""


def find_images(pattern: str) -> list[Path]:
    """The files a pattern with ``*`` or ``?`` matches, sorted."""
    parts = Path(pattern).parts
    first = next((i for i, part in enumerate(parts) if "*" in part or "?" in part), len(parts) - 1)
    return sorted(Path(*parts[:first]).glob(str(Path(*parts[first:]))))
