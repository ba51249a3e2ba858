"""UIDs for what has none: made from what is known of it, so that the same thing gets the same UID again."""

import uuid

from pydicom.uid import UID


def uid_of(*parts: str | int) -> UID:
    """Return the same ``2.25.`` UID for the same parts, always."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(str(part) for part in parts)).int}")
