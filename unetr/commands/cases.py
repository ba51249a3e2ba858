"""The cases that a pattern names: an image file each, called after what tells it from the others."""

from dataclasses import dataclass
from pathlib import Path

from unetr.volume_error import VolumeError


@dataclass(frozen=True)
class ImageFile:
    """The image of one case.

    Attributes
    ----------
    parts
        Folders and file, without ``.nii`` or ``.nii.gz``, that the pattern leaves open, and those between them: of
        ``cases/*/t1ce.nii.gz`` the folder. Where it leaves nothing open, the folder that the image lies in.
    """

    path: Path
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        return "_".join(self.parts)

    def is_called(self, name: str) -> bool:
        """Tell whether this is the case, or one of its parts is: of a subject, say, with several visits."""
        return name == self.name or name in self.parts


def find_images(pattern: str) -> list[ImageFile]:
    """The files a pattern with ``*`` or ``?`` matches, sorted.

    Raises
    ------
    VolumeError
        When it matches none, or two that would be called the same.
    """
    asked = Path(pattern).parts
    left_open = [i for i, part in enumerate(asked) if "*" in part or "?" in part]
    first, behind = (left_open[0], len(asked) - 1 - left_open[-1]) if left_open else (len(asked), 0)
    known = min(first, len(asked) - 1)  # parts of the folder to look in
    found: dict[str, ImageFile] = {}
    for path in sorted(Path(*asked[:known]).glob(str(Path(*asked[known:])))):
        parts = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii")).parts
        image = ImageFile(path, parts[first : len(parts) - behind] or (path.absolute().parent.name,))
        if image.name in found:
            raise VolumeError(f"{found[image.name].path} and {path} would both be called {image.name}: rename one")
        found[image.name] = image
    if not found:
        raise VolumeError(f"{pattern} matches no image")
    return list(found.values())
