"""What types of one object have in common that every tenant has: settings with Get and Set, never created or deleted.

Such a type declares its fields, one declaration each, and says what they do to mail; all else is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from provisioner.model import Answer, Cmdlet, Declared, Query, ReadBack, Send, Step, Unknown
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import answered

SETTINGS = "settings"
"""The key of the one object."""

S = TypeVar("S")


class TenantSettingsType(BaseType, Generic[S], abstract=True):
    """The settings of one noun. `alone` are columns that belong to a parameter set of their own."""

    spec: ClassVar[type[Any]]
    noun: ClassVar[str]
    alone: ClassVar[frozenset[str]] = frozenset()
    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = (SETTINGS,)

    def declare(self, section: Mapping[str, Any], _owner: str, /) -> Iterable[Declared]:
        yield Declared(SETTINGS, fields.declared(self.spec, SETTINGS, section), ())

    def queries(self, wanted: Mapping[str, S | None], _everything: bool, /) -> Sequence[Query]:
        request = Cmdlet(f"Get-{self.noun}", columns=fields.wire_names(self.spec))
        return (Query(request, frozenset(wanted)),) if wanted else ()

    def decode(
        self, wanted: Mapping[str, S | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, S | Unknown]:
        """No row is not an answer, for every tenant has one."""
        rows = [row for _, answer in answers for row in answer.rows]
        if not answers:
            return {}
        if not rows:
            return {SETTINGS: Unknown(f"Get-{self.noun} told nothing", "malformed")}
        found: S = self.spec(SETTINGS, **fields.decoded(self.spec, rows[0]))
        return {SETTINGS: answered(wanted.get(SETTINGS), found)}

    def steps(self, before: S | None, after: S | None) -> Sequence[Step]:
        """One Set, and another one for what is sent alone."""
        changes = fields.changes(before or self.spec(SETTINGS), after) if after else {}
        apart = [{name: value} for name, value in changes.items() if name in self.alone]
        together = {name: value for name, value in changes.items() if name not in self.alone}
        return tuple(Send(Cmdlet(f"Set-{self.noun}", part)) for part in (*apart, together) if part)

    def written_form(self, spec: S) -> tuple[tuple[str, ...], Any] | None:
        body = fields.written_body(spec)
        return ((), body) if body else None

    def read_back(self, spec: S) -> ReadBack:
        return ReadBack(Cmdlet(f"Get-{self.noun}"), fields.sent(spec, fields.columns(spec).keys()))

    def in_force(self, _wanted: S, _live: S, /) -> str:
        """A setting is in force."""
        return ""
