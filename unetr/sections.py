"""Walking through JSON that somebody else has written."""

from typing import Any


def section(content: Any, *keys: str) -> dict[str, Any]:
    """Walk into nested objects; where one is missing, or none, the section is empty."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}
