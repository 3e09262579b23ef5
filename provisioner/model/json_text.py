"""JSON that was saved and may have been edited: what all its readers understand alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class KeyTwice(ValueError):
    """A key that an object has twice."""


def each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object, as `object_pairs_hook` of json.

    Raises KeyTwice: which of the two values counts differs from reader to reader (RFC 8259, section 4).
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise KeyTwice(next(key for key in keys if keys.count(key) > 1))
    return found
