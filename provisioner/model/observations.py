"""What the tenant says about an object: it is there, it is not, or nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from provisioner.model.addresses import Address
from provisioner.model.requests import Answer

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Present:
    """The object is there, in canonical form."""

    spec: Any


@dataclass(frozen=True, slots=True)
class Absent:
    """A complete answer that does not hold the object.

    `reason` says why the tenant cannot have it as the plan names it, with its `fix`: a name that no recipient has, or
    one of a kind that does not do. `known` is what was observed of it nevertheless, a spec with its read-only fields
    alone: the ids of the two parties of a right that nobody has granted.
    """

    reason: str = ""
    fix: str = ""
    known: Any | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing may be concluded: the read failed, was refused, or came back short. Never planned on."""

    reason: str
    kind: str = "tenant"


Observation = Present | Absent | Unknown


@dataclass(frozen=True, slots=True)
class Observed:
    """The tenant as far as it was read: declared objects by address, and the undeclared ones that were read with them.

    `unlisted` are types whose undeclared objects could not be told, with the reason. `requests` counts the questions
    asked; how many pages each took is the transport's affair. `evidence` are the answers to what the rules asked, by
    `request_key`: nothing is planned on them, so that one that failed stands in nobody's way. `others` counts the
    undeclared objects of each type that are not in `undeclared`, because no change and no rule needs more of them;
    `unmanaged` counts those among them that a plan could declare. `remembered` are the ids of objects (`object_id`)
    by the address under which the journal saw them last.
    """

    resources: Mapping[Address, Observation]
    undeclared: Mapping[Address, Any] = field(default_factory=dict)
    unlisted: Mapping[str, Unknown] = field(default_factory=dict)
    requests: int = 0
    evidence: Mapping[str, Answer | Unknown] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)
    unmanaged: Mapping[str, int] = field(default_factory=dict)
    remembered: Mapping[Address, str] = field(default_factory=dict)
