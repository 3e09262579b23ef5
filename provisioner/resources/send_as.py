"""Send As: who may send with the address of another mailbox, group or contact.

One resource for each pair. The right has no place for an ownership mark, so pairs that the plan does not list are left
alone, and one that leaves the plan is taken away by `absent`.

A row names its trustee in a form of Exchange's choice (`rows.recipient_permission`). Where no row has the plan's name
as it is written, the trustee is looked up, and the rows whose form is not unique are too. A right that could be the one
asked for is Unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from provisioner.model import (
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Parameter,
    Query,
    Send,
    Step,
    Unknown,
)
from provisioner.model.picture import Contribution, Contributions, SendRight
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    EmailKey,
    EmailText,
    email_address,
    known_names,
    lenient,
    read_only,
)
from provisioner.resources.rows import recipient, recipient_permission, user
from provisioner.resources.rows.recipient import Recipient
from provisioner.resources.rows.recipient_permission import SendAsRight
from provisioner.resources.rows.user import User

_RIGHT = "SendAs"


@dataclass(frozen=True, slots=True)
class SendAs:
    """`trustee` may send as `sender`. The key is `erp@contoso.com as invoices@contoso.com`.

    `trustee_id` is the trustee's Guid, observed where its row has another name for it than the plan.
    """

    pair: str
    trustee: str | None = None
    sender: str | None = None
    trustee_id: str | None = read_only()
    names: frozenset[str] = known_names()


def pair_of(trustee: str, sender: str) -> SendAs:
    """The right of one pair of canonical addresses."""
    return SendAs(f"{trustee} as {sender}", trustee, sender)


Section = dict[EmailKey, Annotated[list[EmailText], Field(description="The addresses that it may send as.")]]


class SendAsType(BaseType):
    """send_as["erp@contoso.com as invoices@contoso.com"]."""

    name: ClassVar[str] = "send_as"
    section: ClassVar[str] = "send_as"
    section_type: ClassVar[Any] = Annotated[
        Section,
        Field(
            description="Who may send as whom: the user's sign-in name, then the addresses of others.",
            examples=[{"erp@contoso.com": ["invoices@contoso.com"]}],
        ),
    ]
    spec: ClassVar[type[SendAs]] = SendAs
    contributes: ClassVar[tuple[type[Contribution], ...]] = (SendRight,)

    def declare(self, section: Section, _owner: str, /) -> Iterable[Declared]:
        for written, senders in section.items():
            for index, sender in enumerate(senders):
                right = pair_of(email_address(written), sender)
                yield Declared(right.pair, right, (written, index))

    def queries(self, wanted: Mapping[str, SendAs | None], _everything: bool, /) -> Sequence[Query]:
        """One look-up for each address that somebody is to send as: a listing names recipients by display names."""
        covers: dict[str, set[str]] = {}
        for key in wanted:
            covers.setdefault(_parties(key)[1], set()).add(key)
        return [
            Query(recipient_permission.look_up(sender), frozenset(keys), may_be_missing=True)
            for sender, keys in covers.items()
        ]

    def follow_up(
        self,
        _wanted: Mapping[str, SendAs | None],
        _everything: bool,
        answers: Sequence[tuple[Query, Answer]],
        /,
    ) -> Sequence[Query]:
        """Who the trustees are that no row names as the plan does, and who the rows mean by a name that is no address.

        Get-Recipient knows every address and groups too, Get-User the sign-in name. A row that cannot be looked up is
        judged by `decode`.
        """
        wanted_trustees: dict[str, set[str]] = {}
        row_trustees: set[str] = set()
        for query, answer in answers:
            others = _others(recipient_permission.decode(answer.rows), query.covers)
            for key in others:
                wanted_trustees.setdefault(_parties(key)[0], set()).add(key)
                row_trustees |= {name for right in others[key] for name in _plain_names(right)}
        queries = []
        for trustee, keys in wanted_trustees.items():
            queries.append(Query(recipient.look_up(trustee), frozenset(keys), may_be_missing=True))
            queries.append(Query(user.look_up(trustee), frozenset(keys), may_be_missing=True))
        plain = (Query(recipient.look_up(n), frozenset(), may_be_missing=True) for n in sorted(row_trustees))
        return [*queries, *plain]

    def decode(
        self, wanted: Mapping[str, SendAs | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, SendAs | Unknown]:
        seen: dict[str, SendAs | Unknown] = {}
        directory = _Directory(answers)
        for query, answer in answers:
            if not isinstance(query.request, Cmdlet) or query.request.name != recipient_permission.NAME:
                continue
            rights = recipient_permission.decode(answer.rows)
            others = _others(rights, query.covers)
            for key in query.covers:
                trustee, sender = _parties(key)
                if len(recipient_permission.recipients(answer.rows)) > 1:
                    found: SendAs | Unknown | None = _several(sender)
                elif key in others:
                    found = _resolved(key, others[key], directory, revoked=wanted.get(key) is None)
                else:
                    found = SendAs(key, trustee, sender) if _literal(rights, trustee) else None
                if found is not None:
                    seen[key] = found
        return seen

    def steps(self, before: SendAs | None, after: SendAs | None) -> Sequence[Step]:
        if (before is None) == (after is None):
            return ()
        right: SendAs = after or before  # type: ignore[assignment]
        trustee, sender = _parties(right.pair)
        if (right.trustee or trustee, right.sender or sender) != (trustee, sender):
            raise ValueError(f"{right.pair} is not the pair of {right.trustee} and {right.sender}")
        if before is not None and before.trustee_id:
            trustee = before.trustee_id
        rights: dict[str, Parameter] = {
            "Identity": sender,
            "Trustee": trustee,
            "AccessRights": (_RIGHT,),
            "Confirm": False,
        }
        return (Send(Cmdlet("Add-RecipientPermission" if after else "Remove-RecipientPermission", rights)),)

    def written_form(self, spec: SendAs) -> None:
        """Nothing: rights can be looked up one address at a time only, so what there is cannot be listed."""

    def contribution(self, spec: SendAs) -> Contributions:
        """One more sender who may use another's address."""
        return (SendRight(*_parties(spec.pair)),)

    def guards(self, _before: SendAs | None, _after: SendAs | None, /) -> Iterable[Guard]:
        return ()

    def in_force(self, _wanted: SendAs, _live: SendAs, /) -> str:
        """A right that exists is in force."""
        return ""


_form = lenient(email_address)


def _parties(key: str) -> tuple[str, str]:
    """Trustee and sender of a key, in canonical form however it was written."""
    trustee, _, sender = key.partition(" as ")
    return _form(trustee), _form(sender)


def _literal(rights: Iterable[SendAsRight], trustee: str) -> bool:
    return any(trustee in right.trustees for right in rights)


def _others(rights: Sequence[SendAsRight], keys: Collection[str]) -> Mapping[str, Sequence[SendAsRight]]:
    """The keys that no row has literally, each with the rights that could be its own under another name."""
    foreign = [right for right in rights if not right.own]
    return {k: foreign for k in keys if foreign and not _literal(rights, _parties(k)[0])}


def _several(sender: str) -> Unknown:
    return Unknown(f"the rows that were returned for {sender} belong to several recipients", "malformed")


# --- who is meant ----------------------------------------------------------------------------------------------------


def _is_unique(name: str) -> bool:
    """Whether a name can mean one object only: an address or a sign-in name."""
    return "@" in name


def _plain_names(right: SendAsRight) -> frozenset[str]:
    """The names of a right's trustee that several objects may have; none, where it has a unique one too.

    An account that Exchange does not resolve is shown by its SID, which no look-up takes.
    """
    unique = any(map(_is_unique, right.trustees))
    return frozenset() if unique else frozenset(name for name in right.trustees if not name.startswith("s-1-"))


class _Directory:
    """What the look-ups of names found: the objects that go by a name, by Guid, each with all its names."""

    def __init__(self, answers: Sequence[tuple[Query, Answer]]) -> None:
        self._found: dict[str, dict[str, set[str]]] = {}
        for query, answer in answers:
            request = query.request
            if not isinstance(request, Cmdlet) or request.name == recipient_permission.NAME:
                continue
            asked = str(request.parameters["Identity"])
            found = self._found.setdefault(asked, {})
            is_user = request.name == "Get-User"
            others: Iterable[Recipient | User] = map(user.decode if is_user else recipient.decode, answer.rows)
            for other in others:  # everything may come back for a name that nobody has
                if asked in other.names:
                    found.setdefault(other.id, set()).update(other.names)

    def named(self, name: str) -> Mapping[str, set[str]]:
        """The objects of a name; none also where it was not asked for, or could not be told."""
        return self._found.get(name, {})


def _resolved(
    key: str, rights: Sequence[SendAsRight], directory: _Directory, *, revoked: bool
) -> SendAs | Unknown | None:
    """The right of a trustee whom no row names as the plan does: there under another name, not there, or not known.

    `revoked`: the plan takes the right away, so that a row that could be it must not be passed over. To grant what is
    there already does no harm: Exchange answers with a warning.
    """
    trustee, sender = _parties(key)
    objects = directory.named(trustee)
    if len(objects) > 1:
        return Unknown(f"{trustee} is a name of several recipients: write the primary address", "ambiguous")
    if not objects:
        shown = ", ".join(sorted({right.shown for right in rights}))
        reason = f"{trustee} does not resolve to a recipient, and {sender} has rights under other names ({shown})"
        fix = "correct the name, or take the entry out of absent"
        return Unknown(f"{reason}: {fix}", "ambiguous") if revoked else None
    ((identity, names),) = objects.items()
    doubtful = []
    for right in rights:
        verdict = _same(right, identity, names, directory)
        if verdict:
            pairs = frozenset(f"{name} as {sender}" for name in (*names, *right.trustees))
            return SendAs(key, trustee, sender, identity or None, pairs)
        if verdict is None:
            doubtful.append(right.shown)
    if doubtful and (revoked or names & set(map(_form, doubtful))):
        remedy = f"remove what is stale (Remove-RecipientPermission -Identity {sender} -Trustee …), or rename it"
        reason = f"{sender} has a Send As right whose trustee cannot be identified ({', '.join(sorted(doubtful))})"
        return Unknown(f"{reason}, so that it may be the right of {trustee}: {remedy}", "ambiguous")
    return None


def _same(right: SendAsRight, identity: str, names: Collection[str], directory: _Directory) -> bool | None:
    """Whether a right's trustee is this object; None where that cannot be told."""
    unique = {name for name in right.trustees if _is_unique(name)}
    if unique:
        return bool(unique & set(names))
    found = {i for name in right.trustees for i in directory.named(name)}
    return None if len(found) != 1 else found == {identity}
