"""Text whose character set nobody has declared: it is told from the bytes, before anything reads them.

Without a SpecificCharacterSet, or with ISO_IR 6, text is ASCII by the standard. Some senders write UTF-8 or Latin-1 all
the same, and names would go wrong into results and database.
"""

import logging
from collections.abc import Iterator, Sequence

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

LATIN_1 = "ISO_IR 100"
UTF_8 = "ISO_IR 192"
_ASCII = ("", "ISO_IR 6", "ISO 2022 IR 6")
"""What says no more than to declare nothing."""

logger = logging.getLogger(__name__)


def declare_character_sets(datasets: Sequence[Dataset]) -> None:
    """Give instances that need a character set and declare none the one that their text is in, in place.

    That is UTF-8 where all their text is valid UTF-8, which text in another encoding hardly ever is, and Latin-1
    otherwise. What an instance declares beyond ASCII is taken at its word.

    Parameters
    ----------
    datasets
        As read, before their text is accessed: what pydicom has decoded stays as it is.
    """
    needy = [(ds, character_set) for ds in datasets if (character_set := _told_from_bytes(ds)) is not None]
    for ds, character_set in needy:
        for part in list(_undeclared(ds)):
            implicit_vr, little_endian = part.original_encoding
            part.set_original_encoding(implicit_vr, little_endian, convert_encodings(character_set))
        ds.SpecificCharacterSet = character_set
    if needy:
        names = ", ".join(sorted({character_set for _, character_set in needy}))
        logger.info(
            "%d of %d instances declare no character set; their text is taken for %s", len(needy), len(datasets), names
        )


def _told_from_bytes(dataset: Dataset) -> str | None:
    """Return the character set of an instance's text; None where it declares one, or needs none."""
    texts = b"\n".join(text for part in _undeclared(dataset) for text in _texts(part))
    if texts.isascii():
        return None
    try:
        texts.decode("utf-8")
    except UnicodeDecodeError:
        return LATIN_1
    return UTF_8


def _undeclared(dataset: Dataset) -> Iterator[Dataset]:
    """Yield an instance and the items of its sequences, but for those that declare a character set.

    Sequences that pydicom has not taken apart yet are passed over: their items will be read as the instance is.
    """
    declared = dataset.get("SpecificCharacterSet") or ""
    if any(name.strip() not in _ASCII for name in ([declared] if isinstance(declared, str) else declared)):
        return
    yield dataset
    for element in dataset.values():
        if element.VR == "SQ" and not isinstance(element, RawDataElement):
            for item in element.value:
                yield from _undeclared(item)


def _texts(dataset: Dataset) -> Iterator[bytes]:
    """Yield the values that a character set applies to; private ones, which may be in any other, are left out."""
    for element in dataset.values():
        if isinstance(element, RawDataElement) and element.value and not element.tag.is_private:
            vr = element.VR or (dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else None)
            if vr in CUSTOMIZABLE_CHARSET_VR:
                yield element.value
