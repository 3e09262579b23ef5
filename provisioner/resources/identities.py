"""From a name to the object that it means: a recipient, by its Guid, or an application that Exchange knows.

A plan writes an address, a sign-in name, an id or a display name; the service answers with whichever name it likes.
Both are resolved here, for every type. What listings that are read anyway do not settle is looked up with a filter,
several names in one request: `-Identity` takes any name, so that an address which is the display name of another object
would be refused as ambiguous (CrowdStrike/CRT issue 39; office-docs-powershell issue 7166).

An address belongs to the object that has it; only where nobody has it is it taken for a sign-in name. A display name
counts where one object alone has it. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from provisioner.model import Answer, Cmdlet, Query, Unknown
from provisioner.resources.canonical import is_guid
from provisioner.resources.rows import batches, recipient, service_principal
from provisioner.resources.rows.recipient import Recipient
from provisioner.resources.rows.service_principal import ServicePrincipal

Party = Recipient | ServicePrincipal


def look_ups(names: Mapping[str, Collection[str]], *, recipients_only: bool = False) -> list[Query]:
    """The lookups of these names, each with the keys that rest on it; an id may be that of an application too."""
    queries = []
    for some in batches(names):
        covers = frozenset(key for name in some for key in names[name])
        queries.append(Query(recipient.filtered(some), covers))
    ids = [] if recipients_only else [name for name in sorted(names) if is_guid(name)]
    if ids:
        queries.append(Query(service_principal.LISTING, frozenset(key for name in ids for key in names[name])))
    return queries


class Directory:
    """What listings and lookups found, and what a name means by them."""

    def __init__(self, answers: Iterable[tuple[Query, Answer]]) -> None:
        self._filters: list[str] = []
        self._listed = False
        self._recipients: dict[str, Recipient] = {}
        self._applications: dict[str, ServicePrincipal] = {}
        self._by_name: dict[str, list[str]] = {}
        for query, answer in answers:
            if not isinstance(query.request, Cmdlet):
                continue
            if query.request.name == recipient.NAME:
                self._take(query.request, answer)
            elif query.request.name == service_principal.NAME:
                found = map(service_principal.decode, answer.rows)
                self._applications.update({application.id: application for application in found})

    def _take(self, request: Cmdlet, answer: Answer) -> None:
        self._filters.append(str(request.parameters.get("Filter") or ""))
        self._listed |= "Filter" not in request.parameters
        for row in answer.rows:
            found = recipient.decode(row)
            if found.id not in self._recipients:
                self._recipients[found.id] = found
                for name in found.names:
                    self._by_name.setdefault(name, []).append(found.id)

    @property
    def listed(self) -> bool:
        """Whether all recipients were listed."""
        return self._listed

    def recipients(self) -> Collection[Recipient]:
        """Every recipient that was found."""
        return self._recipients.values()

    def named_recipients(self, name: str) -> Sequence[Recipient]:
        """The recipients that go by a name."""
        return [self._recipients[identity] for identity in self._by_name.get(name, ())]

    def every_application(self) -> Collection[ServicePrincipal]:
        """Every application that Exchange knows."""
        return self._applications.values()

    def applications(self, name: str) -> Sequence[ServicePrincipal]:
        """The applications that go by a name or an id."""
        return list(self._applied(name))

    def asked(self, name: str) -> bool:
        """Whether a name was looked up, so that what nobody has is known to be nobody's."""
        return self._listed or any(recipient.condition(name) in text for text in self._filters)

    def recipient(self, identity: str) -> Recipient | None:
        """The recipient of a Guid."""
        return self._recipients.get(identity)

    def meant(self, name: str) -> Party | Unknown | None:
        """The one object that a name means; None where nobody has it."""
        found = self.named(name)
        if len(found) > 1:
            called = "; ".join(sorted(party.called for party in found))
            return Unknown(f"{name} is a name of several recipients ({called}): write the primary address", "ambiguous")
        return found[0] if found else None

    def named(self, name: str) -> Sequence[Party]:
        """All objects that a name can mean: those with the address before those that sign in by it."""
        parties = self.named_recipients(name)
        if "@" in name:
            holders = [party for party in parties if name in party.addresses]
            return holders or [party for party in parties if name == party.sign_in]
        return [*parties, *self._applied(name)]

    def _applied(self, name: str) -> Iterator[ServicePrincipal]:
        return (application for application in self._applications.values() if name in application.names)


def written(party: Party) -> str:
    """The name of an object that a plan would write: its primary address, or the object id of an application."""
    return party.primary if isinstance(party, Recipient) else party.id
