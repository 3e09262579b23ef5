"""What resource types have in common, where a type says nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from provisioner.model import Address, Advice, Answer, Query, Rule, Undeclared, field_names
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
    precondition: ClassVar[bool] = False
    marks_ownership: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = ()
    rules: ClassVar[tuple[Rule, ...]] = ()

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        """`abstract`: what several types share, which is not a type itself."""
        super().__init_subclass__()
        missing = [name for name in _REQUIRED if not callable(getattr(cls, name, None))]
        if cls.marks_ownership:
            missing += [name for name in _OF_MARKS if getattr(cls, name) in (None, getattr(BaseType, name))]
        if missing and not abstract:
            raise TypeError(f"{cls.__name__} does not define {', '.join(missing)}")

    def exclusive(self, section: Any) -> bool:  # noqa: ARG002 - a default
        """No section claims every object of its type."""
        return False

    def undeclared(self, observed: Any, owner: str, exclusive: bool) -> Any:  # noqa: ARG002 - a default
        """What the plan does not declare is left alone."""
        return Undeclared.KEEP

    def needs(self, spec: Any) -> Sequence[Address]:  # noqa: ARG002 - a default
        """It depends on nothing that a plan declares."""
        return ()

    def completed(self, spec: Any) -> Any:
        """Its creation sends nothing but what is written."""
        return spec

    def lint(self, spec: Any) -> Iterable[Advice]:  # noqa: ARG002 - a default
        """Nothing that validation lets pass is wrong in itself."""
        return ()

    def advice(self, wanted: Any, live: Any) -> Iterable[Advice]:  # noqa: ARG002 - a default
        """It may stay as it is."""
        return ()

    def owner_of(self, spec: Any) -> str:  # noqa: ARG002 - a default
        """Its objects carry no mark."""
        return ""

    def made_by(self, spec: Any) -> str:  # noqa: ARG002 - a default
        """Who made its objects is not told."""
        return ""

    def identity(self, spec: Any) -> str:  # noqa: ARG002 - a default
        """An object has one key."""
        return ""

    def names(self, spec: Any) -> Collection[str]:
        """The key, which is the first field of a spec, and what the field `names` holds; domains in both spellings."""
        key = getattr(spec, field_names(spec)[0])
        return {text for name in (key, *getattr(spec, "names", ())) for text in spellings(name)}

    def follow_up(
        self,
        wanted: Mapping[str, Any],  # noqa: ARG002
        everything: bool,  # noqa: ARG002
        answers: Sequence[tuple[Query, Answer]],  # noqa: ARG002
    ) -> Sequence[Query]:
        """Nothing more to ask: the rows name the objects as the plan does."""
        return ()
