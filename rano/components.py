"""Which voxels belong together: a mask's connected components, each of them a lesion."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_TOUCHING = ndimage.generate_binary_structure(3, 3)


def label_lesions(
    mask: npt.NDArray[np.bool_], affine: npt.NDArray[np.floating], minimum_volume_mm3: float
) -> npt.NDArray[np.int32]:
    """Number the lesions of a mask, the largest first.

    Parameters
    ----------
    mask
        Shape (slices, rows, columns).
    affine
        4x4, index (slice, row, column) to patient LPS in mm.
    minimum_volume_mm3
        Components with less volume are background.

    Returns
    -------
    ndarray
        int32 label map of the mask's shape, 0 background, 1 the component with the most voxels, and so on; of equals
        first the one that comes first in the array. Voxels are connected when they share a face, edge or corner.
    """
    mask = np.asarray(mask, bool)
    label_map = np.zeros(mask.shape, np.int32)
    # Only the foreground is looked at where it can be: it is a thousandth of a head.
    boxes = ndimage.find_objects(mask.view(np.uint8))
    if not boxes:
        return label_map
    foreground = mask[boxes[0]]
    component = ndimage.label(foreground, _TOUCHING)[0][foreground]
    voxels = np.bincount(component)
    order = np.argsort(-voxels, kind="stable")
    voxel_mm3 = abs(np.linalg.det(affine[:3, :3]))
    kept = order[(voxels[order] > 0) & (voxels[order] * voxel_mm3 >= minimum_volume_mm3)]
    number_of = np.zeros(len(voxels), np.int32)
    number_of[kept] = np.arange(1, len(kept) + 1)
    label_map[boxes[0]][foreground] = number_of[component]
    return label_map
