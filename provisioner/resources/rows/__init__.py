"""What is only read: one decoder for each cmdlet or Graph path, giving small canonical objects.

Each module says what to ask, which columns it decodes, and what the rows mean. Columns that an answer lacks are None.
What a plan can change is decoded by its resource type, with these where both read the same cmdlet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from provisioner.model import Answer, Request, Row, Unknown, request_key

Answers = Mapping[str, Answer | Unknown]
"""Answers to what was asked besides the resources, by `request_key`."""


FEW = 5
"""Up to so many objects are looked up one by one; beyond, one listing costs less, unless it has many pages."""

_TOGETHER = 20
"""Names in one filter."""


def batches(names: Iterable[str]) -> Iterator[Sequence[str]]:
    """Names in order, as many at a time as one filter has."""
    ordered = sorted(names)
    for start in range(0, len(ordered), _TOGETHER):
        yield ordered[start : start + _TOGETHER]


def rows_of(answers: Answers, request: Request) -> Sequence[Row]:
    """The rows of an answer; none where it failed or was not asked for, which then decodes to what is not known."""
    answer = answers.get(request_key(request))
    return answer.rows if isinstance(answer, Answer) else ()
