"""Many words, and numbers of things, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable


def listed(words: Iterable[str], most: int = 5) -> str:
    """The first of the words, and how many more there are: "a, b and 7 more". A set is sorted first."""
    ordered = sorted(words) if isinstance(words, set | frozenset) else list(words)
    more = f" and {len(ordered) - most:,} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number of things: "1 tenant", "2,000 tenants"; the plural where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
