"""How far a lesion stands out from what is around it: a small one that does not, no reader could point at either."""

import numpy as np
from scipy import ndimage

_SHELL_MM = (1.0, 4.0)
"""What is around a lesion: from this far to that far outside of it."""


def contrast_to_noise(image: np.ndarray, labels: np.ndarray, affine: np.ndarray) -> tuple[float, ...]:
    """Contrast-to-noise ratio of each lesion.

    That is the mean of the brighter half of its voxels less the mean around it, over the standard deviation around it:
    of the scanner's noise, and of vessels and folds that a lesion may hide among. Other lesions are not around it.

    Parameters
    ----------
    image
        Intensities, any three axes.
    labels
        Of the image's shape: lesion n's voxels are n, from 1 on.
    affine
        Index to mm, 4x4.

    Returns
    -------
    tuple
        One a lesion, in the order of their numbers; nan for one with nothing around it, or no spread in it.
    """
    image = np.asarray(image, float)  # the square of what float32 still holds may be more than it does
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    margin = np.ceil(_SHELL_MM[1] / spacing).astype(int)
    ratios = []
    for number, found in enumerate(ndimage.find_objects(labels), start=1):
        box = tuple(slice(max(0, side.start - m), side.stop + m) for side, m in zip(found, margin, strict=True))
        lesion = labels[box] == number
        away = ndimage.distance_transform_edt(~lesion, sampling=spacing)
        around = image[box][(away > _SHELL_MM[0]) & (away <= _SHELL_MM[1]) & (labels[box] == 0)]
        inside = np.sort(image[box][lesion])
        spread = float(around.std()) if len(around) else 0.0
        ratios.append(float(inside[len(inside) // 2 :].mean() - around.mean()) / spread if spread else float("nan"))
    return tuple(ratios)
