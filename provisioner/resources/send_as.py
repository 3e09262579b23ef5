"""Send As: who may send with the address of another mailbox, group or contact.

One resource for each pair. The right has no place for an ownership mark, so pairs that the plan does not list are left
alone, and one that leaves the plan is taken away by `absent`.

Both parties are resolved first (`identities`), and rights are read and written by id. A row names its trustee in a form
of Exchange's choice (`rows.recipient_permission`): it is the plan's trustee where it has a name that only that one has.
A right that could be the one asked for is Unknown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from provisioner.model import (
    Absent,
    Answer,
    Cmdlet,
    Declared,
    GraphRequest,
    Guard,
    Parameter,
    Query,
    ReadBack,
    Row,
    Send,
    Step,
    Unknown,
)
from provisioner.model.picture import Contribution, Contributions, SendRight
from provisioner.resources import identities, pairs
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    RecipientKey,
    RecipientText,
    domains_of,
    is_guid,
    known_names,
    lenient,
    read_only,
    recipient_name,
)
from provisioner.resources.identities import Directory
from provisioner.resources.pairs import HOLDER, OBJECT, Pairs
from provisioner.resources.rows import membership, recipient, recipient_permission, service_principal
from provisioner.resources.rows.recipient import Recipient
from provisioner.resources.rows.recipient_permission import SendAsRight

_RIGHT = "SendAs"


@dataclass(frozen=True, slots=True)
class SendAs:
    """`trustee` may send as `sender`. The key is `erp@contoso.com as invoices@contoso.com`.

    Observed: the Guid of each party; of an application, its object id. `names` are the other names of the right; of one
    that nobody has granted, the rights of groups on the sender, which give it to their members. The pair's own name is
    then among them where the trustee certainly is one.
    """

    pair: str
    trustee: str | None = dataclasses.field(default=None, metadata={"of_key": True})
    sender: str | None = dataclasses.field(default=None, metadata={"of_key": True})
    trustee_id: str | None = read_only()
    sender_id: str | None = read_only()
    names: frozenset[str] = known_names()

    @property
    def groups(self) -> str:
        """The groups of which a member has a right that is not granted to the trustee itself, as a text."""
        return ", ".join(sorted(_parties(name)[0] for name in self.names - {self.pair})) if self.trustee is None else ""

    @property
    def is_member(self) -> bool:
        """Whether the trustee certainly is a member of one of the groups."""
        return self.trustee is None and self.pair in self.names


def pair_of(trustee: str, sender: str) -> SendAs:
    """The right of one pair of canonical addresses."""
    return SendAs(f"{trustee} as {sender}", trustee, sender)


Section = dict[RecipientKey, Annotated[list[RecipientText], Field(description="The addresses that it may send as.")]]


class SendAsType(BaseType):
    """send_as["erp@contoso.com as invoices@contoso.com"]."""

    name: ClassVar[str] = "send_as"
    section: ClassVar[str] = "send_as"
    key_form: ClassVar[str] = "TRUSTEE as SENDER"
    section_type: ClassVar[Any] = Annotated[
        Section,
        Field(
            description="Who may send as whom: a user, group or application, then the addresses of others.",
            examples=[{"erp@contoso.com": ["invoices@contoso.com"]}],
        ),
    ]
    spec: ClassVar[type[SendAs]] = SendAs
    contributes: ClassVar[tuple[type[Contribution], ...]] = (SendRight,)
    privileged: ClassVar[bool] = True

    def declare(self, section: Section, _owner: str, /) -> Iterable[Declared]:
        for written, senders in section.items():
            for index, sender in enumerate(senders):
                right = pair_of(recipient_name(written), sender)
                yield Declared(right.pair, right, (written, index))

    def queries(self, wanted: Mapping[str, SendAs | None], everything: bool, /) -> Sequence[Query]:
        """Both parties of every pair, by lookups of several names each; all rights and recipients for an export."""
        if everything:
            keys = frozenset(wanted)
            listings = (recipient_permission.LISTING, recipient.LISTING, service_principal.LISTING)
            return [Query(listing, keys) for listing in listings]
        return identities.look_ups(_PAIRS.keys_by(wanted, HOLDER, OBJECT))

    def follow_up(
        self,
        wanted: Mapping[str, SendAs | None],
        everything: bool,
        answers: Sequence[tuple[Query, Answer]],
        /,
    ) -> Sequence[Query]:
        """The rights on each sender, by its Guid; then whom their rows mean by a name that several may have.

        Where such a name may be that of a group, also the groups of those who have no right of their own. Nothing rests
        on that answer: without it the right is perhaps theirs.
        """
        if everything:
            return ()
        directory = Directory(answers)
        queries = [
            Query(recipient_permission.look_up(sender), frozenset(keys), may_be_missing=True)
            for sender, keys in _keys_by_sender(wanted, directory).items()
        ]
        plain = {name for right in _rights(answers) for name in _plain_names(right)}
        members = _without_own(wanted, answers, directory)
        return [*queries, *identities.look_ups(dict.fromkeys(plain, ()), recipients_only=True), *members]

    def decode(
        self, wanted: Mapping[str, SendAs | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, SendAs | Absent | Unknown]:
        directory = Directory(answers)
        covered = {key for query, _ in answers for key in query.covers}
        by_sender = _rows_by_sender(answers)
        if "" in by_sender:
            return dict(_listed(by_sender[""], directory))
        found: dict[str, SendAs | Absent | Unknown] = {}
        for key in wanted.keys() & covered:
            pair = _Pair(key, directory, _groups_by_user(answers), revoked=wanted[key] is None)
            sender = pair.sender_id
            found[key] = pair.judge(by_sender.get(sender, ())) if isinstance(sender, str) else sender
        return found

    def steps(self, before: SendAs | None, after: SendAs | None) -> Sequence[Step]:
        if (before is None) == (after is None):
            return ()
        right: SendAs = after or before  # type: ignore[assignment]
        trustee, sender = _PAIRS.checked(right.pair, right.trustee, right.sender)
        named = pairs.named(right.sender_id or sender, ("Trustee", right.trustee_id or trustee))
        rights: dict[str, Parameter] = {**named, "AccessRights": (_RIGHT,), "Confirm": False}
        return (Send(Cmdlet("Add-RecipientPermission" if after else "Remove-RecipientPermission", rights)),)

    def written_form(self, spec: SendAs) -> tuple[tuple[str, ...], Any] | None:
        """One entry in the list of its trustee."""
        trustee, sender = _parties(spec.pair)
        return (trustee,), [sender]

    def mail_domains(self, spec: SendAs, /) -> Collection[str]:
        """That of the address in whose name is sent."""
        return domains_of(_parties(spec.pair)[1])

    def contribution(self, spec: SendAs) -> Contributions:
        """One more sender who may use another's address."""
        trustee, sender = _parties(spec.pair)
        return (SendRight(trustee, sender, spec.groups, spec.is_member),)

    def identity(self, spec: SendAs) -> str:
        """The ids of its two parties."""
        return pairs.identities((spec.trustee_id, spec.sender_id), _PAIRS.word)

    def guards(self, _before: SendAs | None, _after: SendAs | None, /) -> Iterable[Guard]:
        return ()

    def read_back(self, spec: SendAs) -> ReadBack:
        trustee, sender = _parties(spec.pair)
        names = pairs.named(spec.sender_id or sender, ("Trustee", spec.trustee_id or trustee))
        request = Cmdlet("Get-RecipientPermission", names)
        return ReadBack(request, {"AccessRights": (_RIGHT,)})

    def in_force(self, _wanted: SendAs, _live: SendAs, /) -> str:
        """A right that exists is in force."""
        return ""


_form = lenient(recipient_name)
_PAIRS = Pairs("as", _form, word_is_last=True)
_parties = _PAIRS.parties


def _keys_by_sender(keys: Iterable[str], directory: Directory) -> Mapping[str, set[str]]:
    """The keys by the Guid of their sender, where it is known."""
    found: dict[str, set[str]] = {}
    for key in keys:
        sender = directory.meant(_parties(key)[1])
        if isinstance(sender, Recipient):
            found.setdefault(sender.id, set()).add(key)
    return found


def _rows_by_sender(answers: Iterable[tuple[Query, Answer]]) -> Mapping[str, Sequence[Row]]:
    """The rows of each sender that was asked about, by its Guid."""
    return {sender: answer.rows for sender, answer in pairs.answers_of(recipient_permission.NAME, answers)}


def _groups_by_user(answers: Iterable[tuple[Query, Answer]]) -> Mapping[GraphRequest, frozenset[str]]:
    """The ids of the groups that users are in, by the lookup of each."""
    asked = ((query.request, answer) for query, answer in answers)
    return {request: membership.decode(answer.rows) for request, answer in asked if isinstance(request, GraphRequest)}


def _without_own(
    wanted: Iterable[str], answers: Sequence[tuple[Query, Answer]], directory: Directory
) -> Iterator[Query]:
    """The lookups of the groups of those trustees that a right of a group may let send."""
    rows, asked = _rows_by_sender(answers), set()
    for key in sorted(wanted):
        pair = _Pair(key, directory, {}, revoked=False)  # whom a name means is asked for at the same time
        mine = rows.get(pair.sender_id) if isinstance(pair.sender_id, str) else None
        there = pair.judge(mine) if mine is not None else None
        if isinstance(there, Absent) and there.known is not None and there.known.groups and pair.directory_id:
            asked.add(pair.directory_id)
    if len(asked) <= membership.MOST:
        yield from (Query(membership.look_up(user), frozenset()) for user in sorted(asked))


def _rights(answers: Iterable[tuple[Query, Answer]]) -> Iterator[SendAsRight]:
    """The rights of others on a sender."""
    for _, answer in pairs.answers_of(recipient_permission.NAME, answers):
        yield from (right for right in recipient_permission.decode(answer.rows) if not right.own)


# --- who is meant ----------------------------------------------------------------------------------------------------


def _is_unique(name: str) -> bool:
    """Whether a name can mean one object only: an address or a sign-in name."""
    return "@" in name


def _plain_names(right: SendAsRight) -> frozenset[str]:
    """The names of a right's trustee that several objects may have; none, where it has a unique one too.

    An account that Exchange does not resolve is shown by its SID, which no lookup takes.
    """
    unique = any(map(_is_unique, right.trustees))
    return frozenset() if unique else frozenset(name for name in right.trustees if not name.startswith("s-1-"))


class _Pair:
    """One wanted right: who the two parties are, and which of the rows that a sender has is theirs.

    `revoked`: the plan takes the right away, so that a row that could be it must not be passed over. To grant an
    existing right does no harm: Exchange answers with a warning.
    """

    def __init__(
        self, key: str, directory: Directory, groups: Mapping[GraphRequest, frozenset[str]], *, revoked: bool
    ) -> None:
        self._key, self._directory, self._groups, self._revoked = key, directory, groups, revoked
        self._trustee, self._sender = _parties(key)
        self._holder, self._owner = directory.meant(self._trustee), directory.meant(self._sender)

    @property
    def sender_id(self) -> str | Absent | Unknown:
        """The Guid of the sender; or why there is none."""
        if isinstance(self._owner, Recipient):
            return self._owner.id
        if isinstance(self._owner, Unknown):
            return self._owner
        if self._revoked:
            return Absent()
        reason = f"the tenant has no recipient {self._sender} to send as"
        return Absent(reason, "create the recipient first, or correct the name")

    @property
    def directory_id(self) -> str:
        """The id of the trustee's user in Entra ID; "" where it has none, or is not known."""
        return self._holder.directory_id if isinstance(self._holder, Recipient) else ""

    def judge(self, rows: Sequence[Row]) -> SendAs | Absent | Unknown:
        """What the rows of the sender say about the right."""
        if isinstance(self._holder, Unknown):
            return self._holder
        if self._is_itself():
            return Absent() if self._revoked else self._seen(())
        if len(recipient_permission.recipients(rows)) > 1:
            reason = f"the rows that were returned for {self._sender} belong to several recipients"
            return Unknown(reason, "malformed")
        rights = [right for right in recipient_permission.decode(rows) if not right.own]
        verdicts = [(right, self._same(right)) for right in rights]
        held = next((right for right, verdict in verdicts if verdict), None)
        if held is not None:
            return self._seen(held.trustees)
        if self._holder is None:
            return self._nobody(rights)
        doubtful = sorted({right.shown for right, verdict in verdicts if verdict is None})
        if doubtful and (self._revoked or self._holder.names & set(map(_form, doubtful))):
            fix = f"remove what is stale (Remove-RecipientPermission -Identity {self._sender} -Trustee …), or rename it"
            what = f"{self._sender} has a Send As right whose trustee cannot be identified ({', '.join(doubtful)})"
            return Unknown(f"{what}, so that it may be the right of {self._trustee}: {fix}", "ambiguous")
        return self._refused() or Absent(known=dataclasses.replace(self._ids(), names=self._through_groups(rights)))

    def _is_itself(self) -> bool:
        """Whether both are one mailbox under two names: it may send as itself (NT AUTHORITY\\SELF)."""
        both = (self._holder, self._owner)
        return all(isinstance(party, Recipient) for party in both) and self._holder == self._owner

    def _through_groups(self, rights: Iterable[SendAsRight]) -> frozenset[str]:
        """The rights of groups that may be the trustee's too; where one certainly is, those and the pair itself."""
        holds: dict[bool | None, set[str]] = {True: set(), False: set(), None: set()}
        for right in filter(self._may_be_group, rights):
            holds[self._is_member(right)].add(f"{right.shown.lower()} as {self._sender}")
        return frozenset({*holds[True], self._key} if holds[True] else holds[None])

    def _is_member(self, right: SendAsRight) -> bool | None:
        """Whether the trustee is in the group that a right names; None where that was not read or is not certain.

        Source: Learn, "Manage permissions for recipients in Exchange Online": a group's right is that of its members.
        """
        mine = self._groups.get(membership.look_up(self.directory_id))
        found = {party.id: party for name in right.trustees for party in self._directory.named(name)}
        ids = {party.directory_id for party in found.values() if isinstance(party, Recipient)} - {""}
        if mine is None or not found or len(ids) < len(found):
            return None
        return None if len(ids) > 1 and ids & mine else bool(ids & mine)

    def _may_be_group(self, right: SendAsRight) -> bool:
        """Whether a trustee may be a group: it has no sign-in name, and is not known to be something else."""
        if any(map(_is_unique, right.trustees)) or right.shown.lower().startswith("s-1-"):
            return False
        found = [party for name in right.trustees for party in self._directory.named(name)]
        groups = {recipient.GROUP, recipient.SECURITY_GROUP}
        return not found or any(isinstance(party, Recipient) and party.type in groups for party in found)

    def exported(self) -> SendAs:
        """The right as it is seen where nobody wants it: it was found in a row."""
        return self._seen(())

    def _same(self, right: SendAsRight) -> bool | None:
        """Whether a right's trustee is the one that is meant; None where that cannot be told."""
        if self._holder is None or isinstance(self._holder, Unknown):
            return self._trustee in right.trustees  # an account that is not a recipient: its name is all there is
        if right.sid in self._holder.own or right.trustees & self._holder.own:
            return True
        if any(map(_is_unique, right.trustees)):
            return False
        found = {party.id for name in right.trustees for party in self._directory.named(name)}
        return None if len(found) != 1 else found == {self._holder.id}

    def _seen(self, shown: Iterable[str]) -> SendAs:
        """The right, with every name of its two parties."""
        holder, owner = self._holder, self._owner
        known = frozenset() if holder is None or isinstance(holder, Unknown) else holder.names
        senders = {self._sender, *(owner.own if isinstance(owner, Recipient) else ())}
        pairs = frozenset(f"{trustee} as {sender}" for trustee in {self._trustee, *shown, *known} for sender in senders)
        return dataclasses.replace(self._ids(), trustee=self._trustee, sender=self._sender, names=pairs - {self._key})

    def _ids(self) -> SendAs:
        """The two ids, as far as they are known."""
        holder = None if self._holder is None or isinstance(self._holder, Unknown) else self._holder.id
        owner = self._owner.id if isinstance(self._owner, Recipient) else None
        return SendAs(self._key, trustee_id=holder or None, sender_id=owner or None)

    def _nobody(self, rights: Sequence[SendAsRight]) -> Absent | Unknown:
        """What it means that no object has the trustee's name."""
        shown = ", ".join(sorted({right.shown for right in rights}))
        if self._revoked and shown:
            reason = f"{self._trustee} does not resolve to a recipient"
            others = f"{self._sender} has rights under other names ({shown})"
            return Unknown(f"{reason}, and {others}: correct the name, or take the entry out of absent", "ambiguous")
        if self._revoked:
            return Absent()
        if is_guid(self._trustee):
            reason = f"{self._trustee} is neither a recipient nor an application that is registered with Exchange"
            return Absent(reason, _APPLICATIONS)
        reason = f"the tenant has no recipient {self._trustee} to hold the right"
        return Absent(reason, "correct the name")

    def _refused(self) -> Absent | None:
        """Why the trustee cannot hold a right (Add-RecipientPermission: mailbox users, mail users, security groups)."""
        if self._revoked or not isinstance(self._holder, Recipient):
            return None
        fix = {
            recipient.CONTACT: "write the mailbox or the mail user that sends",
            recipient.GROUP: "write a mail-enabled security group, or the members one by one",
        }.get(self._holder.type)
        return (
            Absent(f"{self._trustee} is {self._holder.kind}, which cannot hold a Send As right", fix) if fix else None
        )


_APPLICATIONS = (
    'write the "Object ID" of the application under Enterprise applications in Entra (that under App registrations is '
    "another one), and register it first: New-ServicePrincipal -AppId <application id> -ObjectId <that id>"
)


# --- export ----------------------------------------------------------------------------------------------------------


def _listed(rows: Iterable[Row], directory: Directory) -> Iterator[tuple[str, SendAs]]:
    """Every right of the tenant, under the names that a plan would write."""
    by_recipient: dict[str, list[Row]] = {}
    for row in rows:
        by_recipient.setdefault(str(row.get("Identity") or "").lower(), []).append(row)
    for identity, mine in by_recipient.items():
        owner = directory.meant(identity)
        sender = identities.written(owner) if isinstance(owner, Recipient) else identity
        for right in recipient_permission.decode(mine):
            if not right.own:
                trustee = _exported(right, directory)
                pair = f"{trustee} as {sender}"
                yield pair, _Pair(pair, directory, {}, revoked=False).exported()


def _exported(right: SendAsRight, directory: Directory) -> str:
    """The name of a trustee that a plan would write; that of its row where it is not one object's alone."""
    found = {party.id: party for name in right.trustees for party in directory.named(name)}
    return identities.written(next(iter(found.values()))) if len(found) == 1 else right.shown.lower()
