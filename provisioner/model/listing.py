"""Many words in one sentence."""

from __future__ import annotations

from collections.abc import Iterable


def listed(words: Iterable[str], most: int = 5) -> str:
    """The first of the words, and how many more there are: "a, b and 7 more". A set is sorted first."""
    ordered = sorted(words) if isinstance(words, set | frozenset) else list(words)
    more = f" and {len(ordered) - most:,} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more
