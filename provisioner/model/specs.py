"""The canonical objects of resource types, field by field: what is written, compared and laid over."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from provisioner.model.changes import Change


def written(spec: Any) -> dict[str, Any]:
    """The fields of a spec that are not None, by name, in their declared order."""
    return {name: value for name in field_names(spec) if (value := getattr(spec, name)) is not None}


def project(spec: Any, onto: Any) -> Any:
    """`spec` with every field that `onto` leaves unwritten set to None: what a comparison with `onto` rests on."""
    unset = {name: None for name in field_names(onto) if getattr(onto, name) is None}
    return dataclasses.replace(spec, **unset) if unset else spec


def overlay(wanted: Any, live: Any) -> Any:
    """The live object with every written field of `wanted` in place: the full goal of an update."""
    values = [(name, getattr(wanted, name)) for name in field_names(wanted)]
    differing = {name: value for name, value in values if value is not None and value != getattr(live, name)}
    return dataclasses.replace(live, **differing) if differing else live


def goal_of(change: Change) -> Any | None:
    """The whole object that a change leads to; None for a deletion."""
    if change.after is None or change.observed is None:
        return change.after
    return overlay(change.after, change.observed)


def field_names(spec: Any) -> tuple[str, ...]:
    """The fields of a spec, or of its dataclass, in their declared order; its names are not among them."""
    return _field_names(spec if isinstance(spec, type) else type(spec))


def key_of(spec: Any) -> str:
    """The key of a spec, which is its first field."""
    return str(getattr(spec, field_names(spec)[0]))


@functools.cache
def _field_names(spec: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(spec) if not f.metadata.get("names"))


def create_only(spec: Any) -> frozenset[str]:
    """The fields that only creation can set."""
    return _create_only(spec if isinstance(spec, type) else type(spec))


@functools.cache
def _create_only(spec: type[Any]) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(spec) if f.metadata.get("create_only"))
