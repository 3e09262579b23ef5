"""Rights of one object on another: each pair is a resource, and its key names both (`erp@contoso.com as hr@…`).

What such types have in common: their keys, the answers about their rights, and that a right exists or does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from provisioner.model import Answer, Cmdlet, Parameter, Query

HOLDER, OBJECT = 0, 1


@dataclass(frozen=True, slots=True)
class Pairs:
    """How the keys of a type are written: the holder, a word, the object that the right is on.

    `form` gives the canonical form of a name. A display name may hold the word too: `word_is_last` says which of
    several divides, the last or the first.
    """

    word: str
    form: Callable[[str], str]
    word_is_last: bool = False

    def parties(self, key: str) -> tuple[str, str]:
        """Holder and object of a key, in canonical form however it was written."""
        between = f" {self.word} "
        first, _, second = key.rpartition(between) if self.word_is_last else key.partition(between)
        return self.form(first), self.form(second)

    def keys_by(self, keys: Iterable[str], *parties: int) -> dict[str, set[str]]:
        """The keys by the name of one of their parties, or of both."""
        found: dict[str, set[str]] = {}
        for key in keys:
            named = self.parties(key)
            for party in parties:
                found.setdefault(named[party], set()).add(key)
        return found

    def checked(self, key: str, holder: str | None, on: str | None) -> tuple[str, str]:
        """The parties of a key. Raises ValueError where a specification names others than its key."""
        named = self.parties(key)
        if (holder or named[HOLDER], on or named[OBJECT]) != named:
            raise ValueError(f"{key} is not the pair of {holder} and {on}")
        return named


def identities(ids: tuple[str | None, str | None], word: str) -> str:
    """The ids of both parties as the identity of a right; "" where one of them is not known."""
    return f"{ids[HOLDER]} {word} {ids[OBJECT]}" if all(ids) else ""


def answers_of(name: str, answers: Iterable[tuple[Query, Answer]]) -> Iterator[tuple[str, Answer]]:
    """The answers of a cmdlet about rights, with the object that each was asked about; "" for all."""
    for query, answer in answers:
        if isinstance(query.request, Cmdlet) and query.request.name == name:
            yield str(query.request.parameters.get("Identity", "")), answer


def named(on: str, holder: tuple[str, str]) -> dict[str, Parameter]:
    """The parameters that name a right: the object, and the holder under the name of its parameter."""
    return {"Identity": on, holder[0]: holder[1]}
