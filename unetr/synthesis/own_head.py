"""A real healthy head as the anatomy that synthetic heads are warped from: its own folds, the template's vessels.

The head is laid over the MNI152 template by an affine registration, and its tissues are told apart by their brightness.
"""

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its own documents abbreviate it
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from unetr.synthesis.anatomy import ORIGIN, Anatomy, assemble, mni152_brain, mni152_t1

_GRID_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0]) @ nib.affines.from_matvec(np.eye(3), ORIGIN)
"""Index of the working grid to LPS mm."""
_SAMPLE = 200_000
"""Voxels of the brain at least that tell its tissues' brightness."""


def head_anatomy(image: np.ndarray, affine: np.ndarray, brain: np.ndarray) -> Anatomy:
    """Make an anatomy of a head without lesions (about a minute).

    Parameters
    ----------
    image
        T1 without contrast medium, any axes and spacing.
    affine
        Index to patient LPS mm, 4x4.
    brain
        bool, ``image``'s shape.
    """
    target = _placed(mni152_t1() * mni152_brain(), _GRID_AFFINE)
    mask = _placed(brain.astype(np.float32), affine)
    flat = _without_bias(_placed(image.astype(np.float32), affine), mask)
    towards = _registered(target, flat * mask)
    t1, inside = (_array(sitk.Resample(one, target, towards, sitk.sitkLinear)) for one in (flat, mask))
    inside = ndimage.binary_fill_holes(inside > 0.5)
    grey, white = _tissues(t1, inside)
    return assemble(t1, grey, white, inside)


def _placed(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """An array where its affine (index to LPS mm) puts it; SimpleITK counts axes the other way round."""
    columns = affine[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).T


def _without_bias(image: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """The image with the coil's slow brightness taken out, as N4 finds it on every fourth voxel of the brain."""
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.Execute(sitk.Shrink(image, [4] * 3), sitk.Cast(sitk.Shrink(mask, [4] * 3), sitk.sitkUInt8))
    field = sitk.Exp(corrector.GetLogBiasFieldAsImage(image))
    return sitk.Cast(image / field, sitk.sitkFloat32)


def _registered(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """The affine map from ``fixed`` to ``moving`` with the most mutual information."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 200, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([6, 3])
    method.SetSmoothingSigmasPerLevel([4, 2])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method.SetInitialTransform(start)
    return method.Execute(fixed, moving)


def _tissues(t1: np.ndarray, brain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey and white matter: three brightnesses stand for the tissues, what lies between two is a mixture of both."""
    values = t1[brain]
    sample = values[:: max(1, len(values) // _SAMPLE)].astype(float)
    centres, _ = kmeans2(sample, np.quantile(sample, [0.05, 0.4, 0.8]))
    fluid, grey, white = np.sort(centres)
    fraction = np.interp(t1, [fluid, grey, white], [0.0, 1.0, 2.0]) * brain
    return (1 - np.abs(fraction - 1)).astype(np.float32), (fraction - 1).clip(0).astype(np.float32)
