"""Why a series or a study cannot be used; every message names what was met, in mm where it is a length."""


class ImagingError(ValueError):
    """A series or a study cannot be used; the message says why and what to do."""


class NotMRError(ImagingError):
    """The instances are not MR."""


class UnreadablePixelsError(ImagingError):
    """The pixel data are missing, broken, in colour, or in a transfer syntax that cannot be decoded."""


class ChangedImagesError(ImagingError):
    """The images are not those that were segmented."""


class GeometryError(ImagingError):
    """The slices do not make one regular volume."""


class NoGeometryError(GeometryError):
    """An instance or a frame does not say where in the patient it lies."""


class MixedSeriesError(GeometryError):
    """The instances come from several series or volumes, or are several multi-frame instances."""


class MixedMatrixError(GeometryError):
    """Rows, columns or pixel spacing differ within the series."""


class MixedFrameOfReferenceError(GeometryError):
    """The instances do not share one frame of reference."""


class TooFewSlicesError(GeometryError):
    """Fewer than three slices."""


class TooLargeError(GeometryError):
    """More voxels or a larger piece of space than a worker can hold."""


class InconsistentOrientationError(GeometryError):
    """The slices are not parallel, or not turned alike."""


class DuplicateSliceError(GeometryError):
    """Several slices at one position: often several volumes in one series."""


class MissingSliceError(GeometryError):
    """A gap in the stack, of a whole number of slices."""


class InconsistentSpacingError(GeometryError):
    """The distances between the slices vary."""


class GantryTiltError(GeometryError):
    """Consecutive slices are shifted sideways: the stack is sheared."""
