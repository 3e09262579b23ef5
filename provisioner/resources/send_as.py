"""Send As: who may send with the address of another mailbox, group or contact.

One resource for each pair. The right has no place for an ownership mark, so pairs that the plan does not list are left
alone, and one that leaves the plan is taken away by `absent`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from provisioner.model import (
    Address,
    Answer,
    Cmdlet,
    Declared,
    Effect,
    Guard,
    Parameter,
    Query,
    Row,
    Send,
    Step,
    Undeclared,
    Unknown,
)
from provisioner.resources.canonical import EmailKey, EmailText, email_address, identifier, lenient, texts

_RIGHT = "SendAs"
_RIGHTS = frozenset({"sendas", "1"})  # over REST a word, in older recordings the number of the enumeration


@dataclass(frozen=True, slots=True)
class SendAs:
    """`trustee` may send as `sender`. The key is `erp@contoso.com as invoices@contoso.com`."""

    pair: str
    trustee: str | None = None
    sender: str | None = None


def pair_of(trustee: str, sender: str) -> SendAs:
    """The right of one pair of canonical addresses."""
    return SendAs(f"{trustee} as {sender}", trustee, sender)


Section = dict[EmailKey, Annotated[list[EmailText], Field(description="The addresses that it may send as.")]]


class SendAsType:
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
    creatable: ClassVar[bool] = True
    deletable: ClassVar[bool] = True
    precondition: ClassVar[bool] = False
    marks_ownership: ClassVar[bool] = False
    singletons: ClassVar[tuple[str, ...]] = ()

    def declare(self, section: Section, owner: str) -> Iterable[Declared]:  # noqa: ARG002 - carries no mark
        for written, senders in section.items():
            for index, sender in enumerate(senders):
                right = pair_of(email_address(written), sender)
                yield Declared(right.pair, right, (written, index))

    def exclusive(self, section: Section) -> bool:  # noqa: ARG002 - rights that others gave are never taken
        return False

    def queries(self, wanted: Mapping[str, SendAs | None], everything: bool) -> Sequence[Query]:  # noqa: ARG002
        """One look-up for each address that somebody is to send as: a listing names recipients by display names."""
        covers: dict[str, set[str]] = {}
        for key in wanted:
            covers.setdefault(_parties(key)[1], set()).add(key)
        return [
            Query(Cmdlet("Get-RecipientPermission", {"Identity": sender}), frozenset(keys), may_be_missing=True)
            for sender, keys in covers.items()
        ]

    def decode(
        self,
        wanted: Mapping[str, SendAs | None],  # noqa: ARG002 - each answer is about the keys that its query covers
        answers: Sequence[tuple[Query, Answer]],
    ) -> Mapping[str, SendAs | Unknown]:
        seen: dict[str, SendAs | Unknown] = {}
        for query, answer in answers:
            holders = {name for row in answer.rows if _grants(row) for name in _trustees(row)}
            for key in query.covers:
                trustee, sender = _parties(key)
                if trustee in holders:
                    seen[key] = SendAs(key, trustee, sender)
        return seen

    def undeclared(self, observed: SendAs, owner: str, exclusive: bool) -> Undeclared:  # noqa: ARG002
        return Undeclared.KEEP

    def steps(self, before: SendAs | None, after: SendAs | None) -> Sequence[Step]:
        if (before is None) == (after is None):
            return ()
        right: SendAs = after or before  # type: ignore[assignment]
        trustee, sender = _parties(right.pair)
        if (right.trustee or trustee, right.sender or sender) != (trustee, sender):
            raise ValueError(f"{right.pair} is not the pair of {right.trustee} and {right.sender}")
        rights: dict[str, Parameter] = {
            "Identity": sender,
            "Trustee": trustee,
            "AccessRights": (_RIGHT,),
            "Confirm": False,
        }
        return (Send(Cmdlet("Add-RecipientPermission" if after else "Remove-RecipientPermission", rights)),)

    def completed(self, spec: SendAs) -> SendAs:
        return spec

    def needs(self, spec: SendAs) -> Sequence[Address]:  # noqa: ARG002 - the two are there or they are not
        return ()

    def written_form(self, spec: SendAs) -> None:
        """Nothing: rights can be looked up one address at a time only, so what there is cannot be listed."""

    def effects(self, before: SendAs | None, after: SendAs | None) -> Iterable[Effect]:
        """One more sender who may use another's address, or one fewer."""
        if (before is None) != (after is None):
            yield Effect.CLOSES if after is None else Effect.OPENS

    def guards(self, before: SendAs | None, after: SendAs | None) -> Iterable[Guard]:  # noqa: ARG002
        return ()

    def in_force(self, wanted: SendAs, live: SendAs) -> str:  # noqa: ARG002 - a right that exists is in force
        return ""


_form = lenient(email_address)


def _parties(key: str) -> tuple[str, str]:
    """Trustee and sender of a key, in canonical form however it was written."""
    trustee, _, sender = key.partition(" as ")
    return _form(trustee), _form(sender)


def _grants(row: Row) -> bool:
    """A row that allows: a missing AccessControlType is not a Deny, which would be said.

    Raises ValueError for a row without rights, which says nothing.
    """
    written = texts(row, "AccessRights")
    if written is None:
        raise ValueError("a row has no AccessRights")
    rights = {r.strip().lower() for text in written for r in text.split(",")}
    return bool(rights & _RIGHTS) and str(row.get("AccessControlType") or "Allow").lower() == "allow"


def _trustees(row: Row) -> Iterable[str]:
    """The names by which the trustee of a row may be meant. Raises ValueError for a row without a trustee."""
    columns = ("Trustee", "TrusteeWithPrimarySmtpAddress")
    identifier(row, *columns)
    return (_form(str(row[n])) for n in columns if row.get(n))
