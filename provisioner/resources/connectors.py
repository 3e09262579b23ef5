"""What inbound and outbound connectors share: names, mark, and everything of their types but what they do to mail.

Both have `Name`, `ConnectorType`, `ConnectorSource` and `Comment`, booleans, and multi-valued columns that `[]` does
not empty over REST. Their fields are declared with `fields.column`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import AfterValidator

from provisioner.model import Answer, Cmdlet, Declared, Parameter, Query, ReadBack, Row, Send, Step, Undeclared, Unknown
from provisioner.model.names import caseless
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    answered,
    by_name,
    certificate_name,
    domain_name,
    email_address,
    guid,
    identifier,
    refusal,
    text_of,
)
from provisioner.resources.fields import Text, Words, column
from provisioner.resources.ownership import HYBRID_WIZARD, comment_on_wire, split_comment, unmarked_comment

# --- fields ----------------------------------------------------------------------------------------------------------

DOMAIN = Text(domain_name, "domain names", examples=("contoso.com",))
EMAIL = Text(email_address, "e-mail addresses", examples=("scanner@contoso.com",))


def certificate(*examples: str) -> Text:
    """The name in a TLS certificate, with these examples."""
    return Text(certificate_name, '`mail.contoso.com`, `*.contoso.com`, `""` for none', examples=examples)


def type_column(description: str) -> Any:
    """The field `type`. New is always told: its page names no default, and new rows are of type Partner."""
    words = Words({"on_premises": "OnPremises", "partner": "Partner"})
    return column("ConnectorType", words, description, sent="partner")


def comment_column(example: str) -> Any:
    """The field `comment`; on the wire, the ownership mark stands behind it."""
    note = Text(unmarked_comment, "your text", examples=(example,), nullable=False)
    return column("Comment", note, "Your note; the plan's ownership mark is put behind it.")


def source_column() -> Any:
    """The field `source`: who made the connector. It is only observed."""
    words = {"default": "Default", HYBRID_WIZARD: "HybridWizard", "migrated": "Migrated", "admin_ui": "AdminUI"}
    return column("ConnectorSource", Words(words), cmdlets=())


class Connector(Protocol):
    """The fields that every kind of connector has."""

    @property
    def name(self) -> str: ...
    @property
    def enabled(self) -> bool | None: ...
    @property
    def comment(self) -> str | None: ...
    @property
    def owner(self) -> str | None: ...
    @property
    def owner_key(self) -> str | None: ...
    @property
    def source(self) -> str | None: ...
    @property
    def spellings(self) -> frozenset[str] | None: ...
    @property
    def names(self) -> frozenset[str]: ...


C = TypeVar("C", bound=Connector)

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# --- the type --------------------------------------------------------------------------------------------------------


class ConnectorType(BaseType, Generic[C], abstract=True):
    """A kind of connector. Exchange tells names apart without case, and so do we."""

    spec: ClassVar[type[Any]]
    noun: ClassVar[str]
    """The noun of its cmdlets: `InboundConnector`."""
    more_columns: ClassVar[frozenset[str]] = frozenset()
    """Columns that are decoded without being a field."""
    marks_ownership: ClassVar[bool] = True
    decisive: ClassVar[frozenset[str]] = frozenset()
    """The fields that decide which mail the connector takes, beside `enabled`."""
    stays_disabled: ClassVar[tuple[str, ...]] = ()
    """Fragments of the warnings that mean that the connector stays disabled, whatever enables it."""

    def declare(self, section: Mapping[str, Mapping[str, Any]], owner: str) -> Iterable[Declared]:
        for key, name in _declared_names(section):
            spec = fields.declared(self.spec, key, section[name], owner=owner or None, owner_key=key if owner else None)
            yield Declared(key, self.implied(spec), (name,))

    def implied(self, spec: C) -> C:
        """A declared object with what follows from what is written."""
        return spec

    def queries(self, wanted: Mapping[str, C | None], everything: bool) -> Sequence[Query]:
        """One listing: there are few, and a lookup of an unknown name may return all of them anyway."""
        if not wanted and not everything:
            return ()
        return (Query(self.listing({"ResultSize": "Unlimited"}), frozenset(wanted)),)

    def listing(self, parameters: Mapping[str, Parameter]) -> Cmdlet:
        """Get, for the columns that the fields are decoded from, and those that name a connector."""
        named = frozenset({"Name", "Identity", "Guid", "ExchangeObjectId"})
        return Cmdlet(f"Get-{self.noun}", parameters, named | fields.wire_names(self.spec) | self.more_columns)

    def decode(
        self, wanted: Mapping[str, C | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, C | Unknown]:
        """All rows of the listings by name; a wanted key keeps its spelling.

        A Guid is a name too: an object that is wanted by both comes back under both. Raises ValueError for a row
        without a name.
        """
        keys = {caseless(key): key for key in wanted}
        seen: dict[str, C | Unknown] = {}
        rows = (row for _, answer in answers for row in answer.rows)
        for form, row in by_name(rows, caseless, "Name", "Identity").items():
            if isinstance(row, Unknown):
                seen[keys.get(form, form)] = row
                continue
            names = [keys[n] for n in (form, guid(row)) if n in keys] or [identifier(row, "Name", "Identity")]
            seen.update({key: answered(wanted.get(key), self.spec(key, **self.values(row))) for key in names})
        return seen

    def values(self, row: Row) -> dict[str, Any]:
        """The fields of a row, by name; `names` are its name and its Guid."""
        found = fields.decoded(self.spec, row)
        if "Comment" in row:
            found["comment"], found["owner"], found["owner_key"] = split_comment(text_of(row, "Comment") or "")
        found["spellings"] = fields.respelled(self.spec, row) or None
        return {**found, "names": frozenset(filter(None, (str(row.get("Name") or ""), guid(row))))}

    def undeclared(self, observed: C, owner: str, _exclusive: bool, /) -> Undeclared:
        """Only our own mark makes it ours, and never the hybrid wizard's."""
        ours = owner and observed.owner == owner and observed.source != HYBRID_WIZARD
        return Undeclared.DELETE if ours else Undeclared.KEEP

    def owner_of(self, spec: C) -> str:
        return spec.owner or ""

    def marked_key(self, spec: C) -> str:
        return spec.owner_key or ""

    def object_id(self, spec: C) -> str:
        """The Guid, which a new name leaves as it is (Set-InboundConnector, -Name and -Identity)."""
        return next((name for name in sorted(spec.names - {spec.name}) if _GUID.fullmatch(name)), "")

    def made_by(self, spec: C) -> str:
        return spec.source or ""

    def settled(self, goal: C, live: C) -> bool:
        """The key in the mark alone is not a difference: it is written with the next change of the connector."""
        return goal == live or _rekeyed(goal, live.owner_key) == live

    def steps(self, before: C | None, after: C | None) -> Sequence[Step]:
        """New with everything written that it takes, then Set with what only Set has; Set with what differs.

        A connector is renamed by its Guid: whatever it is called by then, it is this one.
        """
        if after is None:
            return (self._send("Remove", {"Identity": before.name, "Confirm": False}),) if before else ()
        if before is None:
            whole = self.completed(after)
            late = fields.creation(whole, late=True)
            new = self._send("New", {"Name": after.name, **self.creation(whole)})
            return (new, self._send("Set", {"Identity": after.name, **late})) if late else (new,)
        changes = self.changes(before, after)
        identity = (self.object_id(before) if "Name" in changes else "") or before.name
        return (self._send("Set", {"Identity": identity, **changes}),) if changes else ()

    def creation(self, after: C) -> dict[str, Parameter]:
        """The parameters of New, but the name."""
        text = _comment(after)
        return fields.creation(after) | ({"Comment": text} if text else {})

    def changes(self, before: C, after: C) -> dict[str, Parameter]:
        """The parameters of one Set: the service checks how they hold together after all of them."""
        renamed: dict[str, Parameter] = {"Name": after.name} if before.name != after.name else {}
        changes = renamed | fields.changes(before, after, before.spellings or ())
        if any(fields.differs(before, after, name) for name in ("comment", "owner", "owner_key")):
            changes["Comment"] = _comment(after)
        return changes

    def _send(self, verb: str, parameters: Mapping[str, Parameter]) -> Send:
        enables = parameters.get("Enabled", verb == "New") is True
        return Send(Cmdlet(f"{verb}-{self.noun}", parameters), blocked_on=self.stays_disabled if enables else ())

    def completed(self, spec: C) -> C:
        return fields.completed(spec)

    def written_form(self, spec: C) -> tuple[tuple[str, ...], Any] | None:
        """What the wizard keeps is not for a plan. The mark is the plan's `owner`, not the connector's."""
        return None if spec.source == HYBRID_WIZARD else ((spec.name,), fields.written_body(spec))

    def in_force(self, wanted: C, live: C) -> str:
        """Exchange creates connectors disabled in some offers and leaves them so (Learn, inbound-connector-faq)."""
        if wanted.enabled is False or live.enabled is not False:
            return ""
        return "the connector is disabled in the tenant"

    def leaves_off(self, before: C, after: C) -> bool:
        return before.enabled is False and after.enabled is None

    def read_back(self, spec: C) -> ReadBack:
        """Get by name. The service stores domains as `smtp:contoso.com;1` and single addresses as they are written."""
        request = Cmdlet(f"Get-{self.noun}", {"Identity": spec.name})
        return ReadBack(request, {"Enabled": True, **fields.sent(spec, self.decisive)})

    def working(self, spec: C) -> C:
        """Enabled."""
        return replace(spec, enabled=True)  # type: ignore[type-var]


def _comment(spec: Connector) -> str:
    return comment_on_wire(spec.comment or "", spec.owner or "", spec.owner_key or "")


def _rekeyed(spec: Any, key: str | None) -> Any:
    return dataclasses.replace(spec, owner_key=key)


def connector_name(text: str) -> str:
    """A name as a plan writes it. Raises CONNECTOR-NAME-INVALID."""
    if not text or text != text.strip() or not text.isprintable():
        hint = "write a name of printable characters, without spaces around it"
        raise refusal("CONNECTOR-NAME-INVALID", f"{text!r} is not a name for a connector", hint)
    return text


CONNECTOR_NAME = Annotated[str, AfterValidator(connector_name)]


def _declared_names(section: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Key and name of each entry: names that differ in case only have one key, for the caller to refuse."""
    spelling: dict[str, str] = {}
    for name in section:
        yield spelling.setdefault(caseless(name), name), name
