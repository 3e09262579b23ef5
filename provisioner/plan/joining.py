"""The files of a plan as one: what is keyed by name may be spread over them, each name once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, Required, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from provisioner.diagnostics import Diagnostic, Diagnostics
from provisioner.plan.yaml_nodes import Node


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a section merges: a mapping keyed by name takes names from several files, a structured one fields."""

    keyed: bool
    below: Mapping[str, Shape] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, annotation: Any) -> Shape | None:
        while get_origin(annotation) in {Annotated, Required, NotRequired}:
            annotation = get_args(annotation)[0]
        if get_origin(annotation) in {dict, Mapping}:
            return cls(keyed=True)
        if not is_typeddict(annotation):
            return None
        fields = {name: cls.of(hint) for name, hint in get_type_hints(annotation, include_extras=True).items()}
        return cls(keyed=False, below={name: shape for name, shape in fields.items() if shape})

    def name_at(self, path: Sequence[str | int]) -> str | None:
        """The name that a path leads through, if it leads through a mapping keyed by name."""
        if not path:
            return None
        if self.keyed:
            return str(path[0])
        below = self.below.get(str(path[0]))
        return below.name_at(path[1:]) if below else None


shape_of = functools.cache(Shape.of)


def joined(first: Node, second: Node, shape: Shape | None, found: Diagnostics) -> Node:
    """Two values of one key in two files: their names together where they are keyed by name, else a mistake."""
    if shape is None or not isinstance(first.children, dict) or not isinstance(second.children, dict):
        found.add(written_twice(first, second))
        return first
    children = dict(first.children)
    for name, child in second.children.items():
        known = children.get(name)
        children[name] = joined(known, child, shape.below.get(name), found) if known else child
    return dataclasses.replace(first, children=children)


def written_twice(first: Node, second: Node) -> Diagnostic:
    what = f'"{second.head.text}" is written in two files'
    related = ((first.head.location, "the first one"),)
    head = second.head
    return Diagnostic(
        "PLAN-KEY-TWICE", what, "keep one of the two", location=head.location, length=head.length, related=related
    )
