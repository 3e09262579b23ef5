"""Remote domains: what may be sent to a domain outside automatically, in which form, and whether it is trusted.

A plan calls one by its domain, which never changes; the service has a name besides, which tells Set and Remove which
one is meant. `*` is the built-in one: it holds for every domain without one of its own, and cannot be removed.
Columns, parameters and how they hold together: Get-/New-/Set-RemoteDomain in the PowerShell reference (2026).
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from provisioner.diagnostics import Severity
from provisioner.model import (
    Absent,
    Answer,
    Cmdlet,
    Declared,
    Guard,
    Parameter,
    Query,
    ReadBack,
    Row,
    Rule,
    Send,
    Step,
    Unknown,
)
from provisioner.model.names import caseless
from provisioner.model.picture import ANY, Contribution, Contributions, Privilege
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import (
    answered,
    as_written,
    by_name,
    known_names,
    lenient,
    read_only,
    refusal,
    text_of,
    wildcard_domain,
)
from provisioner.resources.fields import BOOLEAN, TRISTATE, WIDENS, Text, Words, column

EVERY_DOMAIN = "default"
"""The key of the built-in one, `*`."""

_LONGEST_NAME = 64
_CHARSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:()+-]*")
_TOP_LEVEL = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]", re.IGNORECASE)


def remote_domain(text: str) -> str:
    """The key of a domain: an asterisk in an address would be a pattern.

    "*" -> "default", "*.Partner.example" (it and all below) -> ".partner.example". Raises REMOTE-DOMAIN-INVALID.
    """
    if text in {"*", EVERY_DOMAIN}:
        return EVERY_DOMAIN
    star = text.startswith(("*.", "."))
    plain = text.removeprefix("*").removeprefix(".") if star else text
    if star and _TOP_LEVEL.fullmatch(plain):
        return f".{plain.lower()}"
    hint = 'write partner.example, "*.partner.example" or "*"'
    return f"{'.' if star else ''}{wildcard_domain(plain, text, 'REMOTE-DOMAIN-INVALID', hint).removeprefix('*.')}"


def _wire(key: str) -> str:
    """The domain as the service writes it."""
    return "*" if key == EVERY_DOMAIN else f"*{key}" if key.startswith(".") else key


def _character_set(text: str) -> str:
    """A name as of the IANA registry, in lower case; "" for none. Raises CHARACTER-SET-INVALID."""
    if text and not _CHARSET_NAME.fullmatch(text):
        what = f'"{text}" is not the name of a character set'
        raise refusal("CHARACTER-SET-INVALID", what, 'write utf-8, iso-8859-1 or similar, "" for none')
    return text.lower()


_CHARSET = Text(_character_set, 'name of a character set, `""` for none', examples=("utf-8",))
_OOF = Words(
    {
        "external": "External",
        "external_legacy": "ExternalLegacy",
        "internal_legacy": "InternalLegacy",
        "none": "None",
    }
)
_LATER = ("Set",)


@dataclass(frozen=True, slots=True)
class RemoteDomain:
    """`name` is the service's own name of it, observed only; what creation calls it follows from the domain."""

    domain: str
    auto_forward_enabled: bool | None = column(
        "AutoForwardEnabled", BOOLEAN, "Deliver messages that a mailbox forwards by itself.", default=True,
        cmdlets=_LATER, paths=WIDENS,
    )  # fmt: skip
    auto_reply_enabled: bool | None = column(
        "AutoReplyEnabled", BOOLEAN, "Deliver automatic replies of clients, as of rules.", default=True, cmdlets=_LATER
    )
    allowed_oof_type: str | None = column(
        "AllowedOOFType",
        _OOF,
        "Which out-of-office replies are delivered; internal_legacy makes the domain internal.",
        default="external",
        cmdlets=_LATER,
        half_way=("external_legacy",),  # as IsInternal false leaves it (Set-RemoteDomain, -AllowedOOFType)
    )
    delivery_report_enabled: bool | None = column(
        "DeliveryReportEnabled", BOOLEAN, "Deliver delivery reports.", default=True, cmdlets=_LATER
    )
    ndr_enabled: bool | None = column(
        "NDREnabled", BOOLEAN, "Deliver non-delivery reports.", default=True, cmdlets=_LATER
    )
    meeting_forward_notification_enabled: bool | None = column(
        "MeetingForwardNotificationEnabled",
        BOOLEAN,
        "Tell the organizer when a meeting request is forwarded.",
        default=False,
        cmdlets=_LATER,
    )
    is_internal: bool | None = column(
        "IsInternal", BOOLEAN, "Treat its recipients as those of the organization.", default=False, cmdlets=_LATER,
        paths=WIDENS,
    )  # fmt: skip
    trusted_mail_inbound_enabled: bool | None = column(
        "TrustedMailInboundEnabled",
        BOOLEAN,
        "Mail from the domain skips content and recipient filtering.",
        default=False,
        cmdlets=_LATER,
        paths=WIDENS,
    )
    trusted_mail_outbound_enabled: bool | None = column(
        "TrustedMailOutboundEnabled",
        BOOLEAN,
        "Mail to the domain skips content and recipient filtering.",
        default=False,
        cmdlets=_LATER,
        paths=WIDENS,
    )
    target_delivery_domain: bool | None = column(
        "TargetDeliveryDomain", BOOLEAN, "Address mail users of the other organization by it.", default=False,
        cmdlets=_LATER,
    )  # fmt: skip
    tnef: str | None = column(
        "TNEFEnabled",
        TRISTATE,
        "Rich text as winmail.dat: enabled, disabled, or inherit for what clients and contacts say.",
        default="inherit",
        cmdlets=_LATER,
    )
    content_type: str | None = column(
        "ContentType",
        Words({"mime_html_text": "MimeHtmlText", "mime_text": "MimeText", "mime_html": "MimeHtml"}),
        "Format of the messages.",
        default="mime_html_text",
        cmdlets=_LATER,
    )
    character_set: str | None = column(
        "CharacterSet", _CHARSET, "For MIME messages that name none.", default="iso-8859-1", cmdlets=_LATER
    )
    non_mime_character_set: str | None = column(
        "NonMimeCharacterSet", _CHARSET, "For plain text that names none.", default="iso-8859-1", cmdlets=_LATER
    )
    use_simple_display_name: bool | None = column(
        "UseSimpleDisplayName", BOOLEAN, "Show the sender's simple display name.", default=False, cmdlets=_LATER
    )
    name: str | None = read_only()
    names: frozenset[str] = known_names()


_COLUMNS = fields.wire_names(RemoteDomain) | {"DomainName", "Name", "Identity", "Guid"}
_DESCRIPTION = "One remote domain. What is not written is left as it is."


def _agree(written: RemoteDomain) -> None:
    if written.allowed_oof_type == "internal_legacy" and written.is_internal is False:
        what = "allowed_oof_type: internal_legacy makes the domain internal"
        raise refusal("REMOTE-DOMAIN-OOF", what, "write is_internal: true, or another allowed_oof_type")


class RemoteDomainType(BaseType):
    """remote_domain["partner.example"], remote_domain[".partner.example"] with all below, remote_domain["default"]."""

    name: ClassVar[str] = "remote_domain"
    section: ClassVar[str] = "remote_domains"
    section_type: ClassVar[Any] = fields.section(
        Annotated[str, AfterValidator(as_written(remote_domain))],
        fields.entry(RemoteDomain, "RemoteDomainBody", _DESCRIPTION, _agree),
        "Remote domains, by domain; * is the built-in one, for all others.",
        {"*": {"auto_forward_enabled": False}, "partner.example": {"tnef": "disabled"}},
    )
    spec: ClassVar[type[RemoteDomain]] = RemoteDomain
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Privilege,)
    built_in: ClassVar[frozenset[str]] = frozenset({EVERY_DOMAIN})
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("REMOTE-DOMAIN-FORWARD", Severity.ERROR, "apply", "Mailboxes may begin to forward mail to a domain."),
        Rule("REMOTE-DOMAIN-TRUST", Severity.ERROR, "apply", "Mail of a domain outside would be trusted."),
    )

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for written, body in section.items():
            key = remote_domain(written)
            yield Declared(key, fields.declared(RemoteDomain, key, body), (written,))

    def queries(self, wanted: Mapping[str, RemoteDomain | None], everything: bool) -> Sequence[Query]:
        """One listing: there are few."""
        if not wanted and not everything:
            return ()
        return (Query(Cmdlet("Get-RemoteDomain", {"ResultSize": "Unlimited"}, _COLUMNS), frozenset(wanted)),)

    def decode(
        self, wanted: Mapping[str, RemoteDomain | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, RemoteDomain | Absent | Unknown]:
        keys = {_form(key): key for key in wanted}
        seen: dict[str, RemoteDomain | Absent | Unknown] = {}
        rows = [row for _, answer in answers for row in answer.rows]
        for form, row in by_name(rows, _form, "DomainName").items():
            key = keys.get(form, form)
            seen[key] = row if isinstance(row, Unknown) else answered(wanted.get(key), _decode(key, row))
        owners = {caseless(name): text_of(row, "DomainName") for row in rows if (name := text_of(row, "Name"))}
        for key, spec in wanted.items():
            if spec is not None and key not in seen and (owner := owners.get(caseless(_called(spec)))):
                seen[key] = _taken(_called(spec), owner)
        return seen

    def steps(self, before: RemoteDomain | None, after: RemoteDomain | None) -> Sequence[Step]:
        if after is None:
            return (_send("Remove", before, {"Confirm": False}),) if before else ()
        if before is None:
            new = Send(Cmdlet("New-RemoteDomain", {"Name": _called(after), "DomainName": _wire(after.domain)}))
            return (new, *_set(after, _decided(after), after))
        return _set(before, before, after)

    def completed(self, spec: RemoteDomain) -> RemoteDomain:
        """New allows forwarding, which the plan shows."""
        return dataclasses.replace(spec, auto_forward_enabled=spec.auto_forward_enabled is not False)

    def written_form(self, spec: RemoteDomain) -> tuple[tuple[str, ...], Any] | None:
        """The built-in one says nothing as long as it is as every tenant has it."""
        body = fields.written_body(spec)
        return ((_wire(spec.domain),), body) if body or spec.domain != EVERY_DOMAIN else None

    def contribution(self, spec: RemoteDomain) -> Contributions:
        """What mail to and from the domain is spared; it admits no sender and refuses nobody's mail."""
        mail = ANY if spec.domain == EVERY_DOMAIN else frozenset({_wire(spec.domain)})
        names = {*fields.widening(spec), *(("is_internal",) if _internal(spec) else ())}
        return tuple(Privilege(name, mail) for name in sorted(names))

    def guards(self, before: RemoteDomain | None, after: RemoteDomain | None) -> Iterable[Guard]:
        return _of_deletion(before) if after is None else _guards(before, after)

    def in_force(self, _wanted: RemoteDomain, _live: RemoteDomain, /) -> str:
        """A remote domain is in force."""
        return ""

    def read_back(self, spec: RemoteDomain, /) -> ReadBack:
        request = Cmdlet("Get-RemoteDomain", {"Identity": _called(spec)})
        return ReadBack(request, {"DomainName": _wire(spec.domain), **fields.sent(spec, set(fields.widening(spec)))})


_form = lenient(remote_domain)
_TRUST = ("is_internal", "trusted_mail_inbound_enabled", "trusted_mail_outbound_enabled")


def _guards(before: RemoteDomain | None, after: RemoteDomain) -> Iterator[Guard]:
    """A new remote domain allows forwarding unless the command says otherwise, whatever `*` says (New-RemoteDomain)."""
    whose = "every domain without a remote domain of its own" if after.domain == EVERY_DOMAIN else _wire(after.domain)
    forwarded = before is not None and before.auto_forward_enabled is not False
    if after.auto_forward_enabled is not False and not forwarded:
        summary = f"mailboxes may forward mail to {whose} automatically: it leaves the organization unseen"
        yield Guard("REMOTE-DOMAIN-FORWARD", summary, "write auto_forward_enabled: false")
    new = [name for name in _TRUST if getattr(after, name) and not (before and getattr(before, name))]
    if new or (_internal(after) and not (before and _internal(before))):
        new = new or ["allowed_oof_type: internal_legacy"]
        summary = f"{', '.join(new)}: mail of {whose} is not filtered as mail from outside"
        yield Guard("REMOTE-DOMAIN-TRUST", summary, "leave it false, unless the domain is of your own organization")


def _of_deletion(before: RemoteDomain | None) -> Iterator[Guard]:
    """Once a remote domain is gone, `*` decides about its mail, and allows forwarding unless somebody changed it.

    Set-RemoteDomain, -AutoForwardEnabled: $true is the default of new ones and of the built-in one in Exchange Online.
    """
    if before is not None and before.auto_forward_enabled is False:
        summary = (
            f"mailboxes may forward mail to {_wire(before.domain)} automatically, unless the remote domain * forbids "
            "it: it leaves the organization unseen"
        )
        yield Guard("REMOTE-DOMAIN-FORWARD", summary, 'keep it, or write auto_forward_enabled: false for "*"')


def _internal(spec: RemoteDomain) -> bool:
    """Whether the domain is an internal one: the service makes it one where AllowedOOFType becomes InternalLegacy."""
    return bool(spec.is_internal) or spec.allowed_oof_type == "internal_legacy"


def _called(spec: RemoteDomain) -> str:
    """The name in the service; of a new one its domain, with words for a wildcard.

    Of a domain that is too long for a name, the end is a check sum: names are unique (Set-RemoteDomain, -Name).
    """
    below = f"{spec.domain[1:]} and subdomains" if spec.domain.startswith(".") else spec.domain
    if len(below) > _LONGEST_NAME:
        below = f"{below[: _LONGEST_NAME - 9]} {zlib.crc32(below.encode()):08x}"
    return spec.name or below


def _taken(name: str, owner: str) -> Absent:
    """Names are unique (New-RemoteDomain, -Name): the service would refuse a second one."""
    what = f'its name in the tenant would be "{name}", which the remote domain of {owner} has'
    return Absent(what, f"give the remote domain of {owner} another name (Set-RemoteDomain -Name)")


def _decided(spec: RemoteDomain) -> RemoteDomain:
    """A remote domain as New makes it."""
    return RemoteDomain(spec.domain, **{n: c.default for n, c in fields.columns(spec).items()})


def _send(verb: str, spec: RemoteDomain | None, parameters: Mapping[str, Parameter]) -> Send:
    identity = _called(spec) if spec else ""
    return Send(Cmdlet(f"{verb}-RemoteDomain", {"Identity": identity, **parameters}))


def _set(called: RemoteDomain, before: RemoteDomain, after: RemoteDomain) -> Sequence[Step]:
    """One Set for what differs. IsInternal false changes AllowedOOFType, which another Set then corrects."""
    changes = fields.changes(before, after)
    oof = after.allowed_oof_type
    if changes.get("IsInternal") is not False or oof in {None, "external_legacy", "internal_legacy"}:
        return (_send("Set", called, changes),) if changes else ()
    changes.pop("AllowedOOFType", None)
    again = _send("Set", called, fields.sent(after, {"allowed_oof_type"}))
    return (_send("Set", called, changes), again)


def _decode(key: str, row: Row) -> RemoteDomain:
    name = text_of(row, "Name") or text_of(row, "Identity")
    names = frozenset(str(row[column]) for column in ("Name", "Identity", "Guid") if row.get(column))
    return RemoteDomain(key, **fields.decoded(RemoteDomain, row), name=name, names=names)
