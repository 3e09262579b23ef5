"""What resource types have in common, where a type defines nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from provisioner.model import (
    Address,
    Advice,
    Answer,
    Guard,
    Links,
    Query,
    ReadBack,
    Rule,
    Step,
    Undeclared,
    field_names,
)
from provisioner.model.picture import Contribution
from provisioner.resources.canonical import spellings

_REQUIRED = ("contribution", "guards", "in_force")
"""What protects the user has no default: a type without it would count as harmless."""

_OF_MARKS = ("owner_of", "made_by")
"""What a type whose objects carry the ownership mark has to define: without it no object would have a foreign owner."""


class BaseType:
    """The usual answers of a resource type: created and deleted by the plan, and left alone where it is not declared.

    A type that does not say what its objects contribute to the sending picture, which changes are dangerous, and when
    an object is in force does not import.
    """

    creatable: ClassVar[bool] = True
    deletable: ClassVar[bool] = True
    key_form: ClassVar[str] = ""
    revocable: ClassVar[bool] = False
    precondition: ClassVar[bool] = False
    marks_ownership: ClassVar[bool] = False
    remembers: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = ()
    built_in: ClassVar[frozenset[str]] = frozenset()
    rules: ClassVar[tuple[Rule, ...]] = ()
    contributes: ClassVar[tuple[type[Contribution], ...]] = ()
    privileged: ClassVar[bool] = False
    listed_in_parts: ClassVar[bool] = False
    more_nouns: ClassVar[frozenset[str]] = frozenset()
    governs: ClassVar[str] = ""

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        """`abstract`: what several types share, which is not a type itself."""
        super().__init_subclass__()
        missing = [name for name in _REQUIRED if not callable(getattr(cls, name, None))]
        if cls.marks_ownership:
            missing += [name for name in _OF_MARKS if getattr(cls, name) in (None, getattr(BaseType, name))]
        if missing and not abstract:
            raise TypeError(f"{cls.__name__} does not define {', '.join(missing)}")

    def exclusive(self, _section: Any, /) -> bool:
        """No section claims every object of its type."""
        return False

    def undeclared(self, _observed: Any, _owner: str, _exclusive: bool, /) -> Any:
        """What the plan does not declare is left alone."""
        return Undeclared.KEEP

    def needs(self, _spec: Any, /) -> Sequence[Address]:
        """It depends on nothing that a plan declares."""
        return ()

    def linked(self, spec: Any, _links: Links, /) -> Any:
        """Nothing follows for it from other objects."""
        return spec

    def meant(self, spec: Any, _known: Any | None, /) -> Any:
        """It means what the plan writes."""
        return spec

    def early(self, _spec: Any, /) -> Sequence[Address]:
        """What it needs must be done."""
        return ()

    def pending(self, _spec: Any, /) -> Sequence[Query]:
        """All of its values are known when it is planned."""
        return ()

    def resolved(self, spec: Any, _answers: Sequence[tuple[Query, Answer]], /) -> Any | None:
        """All of its values are known when it is planned."""
        return spec

    def completed(self, spec: Any, /) -> Any:
        """Its creation sends nothing but what is written."""
        return spec

    def lint(self, _spec: Any, /) -> Iterable[Advice]:
        """Nothing that validation lets pass is wrong in itself."""
        return ()

    def advice(self, _wanted: Any, _live: Any, /) -> Iterable[Advice]:
        """It may stay as it is."""
        return ()

    def owner_of(self, _spec: Any, /) -> str:
        """Its objects carry no mark."""
        return ""

    def marked_key(self, _spec: Any, /) -> str:
        """No mark names a key."""
        return ""

    def object_id(self, _spec: Any, /) -> str:
        """Its objects cannot be renamed."""
        return ""

    def remembered(self, _deeds: Sequence[tuple[Any, Any]], /) -> str:
        """Nothing."""
        return ""

    def touches(self, _before: Any, _after: Any, /) -> int:
        """It is one object."""
        return 1

    def is_ours(self, _before: Any, _after: Any, _remembered: str, /) -> bool:
        """Guards protect every object, those of earlier runs too."""
        return False

    def governed(self, _before: Any, _after: Any, /) -> Mapping[Address, tuple[Any, Any]]:
        """It governs no other type."""
        return {}

    def brought_back(self, before: Any, _after: Any, /) -> tuple[Any, str]:
        """Its fields are all of its state."""
        return before, ""

    def settled(self, goal: Any, live: Any, /) -> bool:
        """Whatever differs is changed."""
        return bool(goal == live)

    def made_by(self, _spec: Any, /) -> str:
        """Who made its objects is not told."""
        return ""

    def unwritable(self, _spec: Any, /) -> Iterable[str]:
        """A plan can say everything that the tenant reports of it."""
        return ()

    def identity(self, _spec: Any, /) -> str:
        """An object has one key."""
        return ""

    def fix(self, _wanted: Any, _live: Any | None, /) -> str:
        """It is not a precondition, and is switched on and off by its own field."""
        return ""

    def names(self, spec: Any, /) -> Collection[str]:
        """The key, which is the first field of a spec, and what the field `names` holds; domains in both spellings."""
        key = getattr(spec, field_names(spec)[0])
        return {text for name in (key, *getattr(spec, "names", ())) for text in spellings(name)}

    def mail_domains(self, _spec: Any, /) -> Collection[str]:
        """It names no domain that mail is sent from."""
        return ()

    def leaves_off(self, _before: Any, _after: Any, /) -> bool:
        """It has no switch of its own that a plan may leave alone."""
        return False

    def read_back(self, _spec: Any, /) -> ReadBack | None:
        """Nothing that an administrator can read by hand."""
        return None

    def fits(self, _spec: Any, /) -> bool:
        """The service has no limit that it could exceed."""
        return True

    def working(self, spec: Any, /) -> Any:
        """Nothing but its own values decides whether an object has an effect."""
        return spec

    def follow_up(
        self,
        _wanted: Mapping[str, Any],
        _everything: bool,
        _answers: Sequence[tuple[Query, Answer]],
        /,
    ) -> Sequence[Query]:
        """Nothing more to ask: the rows name the objects as the plan does."""
        return ()

    def passed_over(self, _answers: Sequence[tuple[Query, Answer]], /) -> int:
        """Every object that was shown is decoded."""
        return 0


class PreconditionType(BaseType, abstract=True):
    """A type whose objects a plan only checks: a difference is a finding, and no change is ever made."""

    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    precondition: ClassVar[bool] = True

    def fix(self, _wanted: Any, _live: Any | None, /) -> str:
        """It is for another party to change."""
        return "bring the tenant there first (this tool checks it and never changes it)"

    def steps(self, _before: Any, _after: Any, /) -> Sequence[Step]:
        """It never changes."""
        return ()

    def guards(self, _before: Any, _after: Any, /) -> Iterable[Guard]:
        """It never changes."""
        return ()

    def in_force(self, _wanted: Any, _live: Any, /) -> str:
        """It is checked as a precondition."""
        return ""
