"""What a damaged NIfTI file lets nibabel stumble over, whatever part of it is damaged."""

import zlib

import nibabel as nib

UNREADABLE = (
    OSError,
    EOFError,
    MemoryError,  # a damaged head may ask for any number of voxels
    OverflowError,
    TypeError,
    ValueError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.wrapstruct.WrapStructError,
)
