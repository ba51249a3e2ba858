"""Label maps as bytes, small enough to be kept: the voxels of the lesions and their labels, without the background."""

import io

import numpy as np
import numpy.typing as npt


def pack_label_map(label_map: npt.NDArray[np.integer]) -> bytes:
    """Give a label map (0 background, n = lesion n) as bytes, some kilobytes for a head."""
    flat = np.asarray(label_map).ravel()
    where = np.flatnonzero(flat)
    packed = io.BytesIO()
    # Steps from voxel to voxel: mostly ones, which compress well.
    np.savez_compressed(packed, shape=label_map.shape, steps=np.diff(where, prepend=0), labels=flat[where])
    return packed.getvalue()


def unpack_label_map(packed: bytes) -> npt.NDArray[np.int32]:
    """Give what ``pack_label_map`` packed, as int32."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
        label_map = np.zeros(tuple(stored["shape"]), np.int32)
        label_map.ravel()[np.cumsum(stored["steps"])] = stored["labels"]
    return label_map
