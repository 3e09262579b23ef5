"""Outbound spam policies: how many recipients a mailbox may send to, what happens beyond, and automatic forwarding.

`Default` holds for everybody whom no rule gives another one. Policies and their rules are made in the Defender portal:
none is created or deleted here. `Enabled` of Default reads false although it is in force (recorded answers), so that it
is not looked at. Parameters: Set-HostedOutboundSpamFilterPolicy in the PowerShell reference (2026).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from provisioner.diagnostics import Severity
from provisioner.model import Answer, Cmdlet, Declared, Guard, Query, ReadBack, Rule, Send, Step, Unknown
from provisioner.model.names import caseless
from provisioner.model.picture import Contribution, Contributions, OutboundLimit, Privilege
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import answered, by_name, refusal
from provisioner.resources.fields import Number, Words, column

DEFAULT = "Default"
_SERVICE_DEFAULT = 0
_LIMIT = Number(0, 10_000)


@dataclass(frozen=True, slots=True)
class OutboundSpamPolicy:
    """One policy. A limit of 0 is the service's own."""

    name: str
    recipient_limit_external_per_hour: int | None = column(
        "RecipientLimitExternalPerHour", _LIMIT, "Recipients outside per mailbox and hour; 0 for the service's limit.",
        default=_SERVICE_DEFAULT,
    )  # fmt: skip
    recipient_limit_internal_per_hour: int | None = column(
        "RecipientLimitInternalPerHour", _LIMIT, "Recipients inside per mailbox and hour; 0 for the service's limit.",
        default=_SERVICE_DEFAULT,
    )  # fmt: skip
    recipient_limit_per_day: int | None = column(
        "RecipientLimitPerDay", _LIMIT, "Recipients per mailbox and day; 0 for the service's limit.",
        default=_SERVICE_DEFAULT,
    )  # fmt: skip
    action_when_threshold_reached: str | None = column(
        "ActionWhenThresholdReached",
        Words({"alert": "Alert", "block_user": "BlockUser", "block_user_for_today": "BlockUserForToday"}),
        "What happens to a mailbox beyond a limit; alert only tells administrators.",
        default="block_user_for_today",
    )
    auto_forwarding_mode: str | None = column(
        "AutoForwardingMode",
        Words({"automatic": "Automatic", "on": "On", "off": "Off"}),
        "Automatic forwarding to external recipients; automatic is off in most organizations.",
        default="automatic",
    )


_COLUMNS = fields.wire_names(OutboundSpamPolicy) | {"Name", "Identity", "Guid"}
_DESCRIPTION = "One outbound spam policy. What is not written is left as it is."
_LIMITS = (
    "recipient_limit_external_per_hour",
    "recipient_limit_internal_per_hour",
    "recipient_limit_per_day",
)


def _policy_name(text: str) -> str:
    if not text.strip() or len(text) > 64:
        raise refusal("POLICY-NAME-INVALID", f"{text!r} is not a name for a policy", "write 1 to 64 characters")
    return text


class OutboundSpamPolicyType(BaseType):
    """outbound_spam_policy["Default"]. Exchange tells names apart without case, and so do we."""

    name: ClassVar[str] = "outbound_spam_policy"
    section: ClassVar[str] = "outbound_spam_policies"
    section_type: ClassVar[Any] = fields.section(
        Annotated[str, AfterValidator(_policy_name)],
        fields.entry(OutboundSpamPolicy, "OutboundSpamPolicyBody", _DESCRIPTION),
        "Outbound spam policies that exist, by name. Default holds for everybody without another one.",
        {"Default": {"auto_forwarding_mode": "off"}},
    )
    spec: ClassVar[type[OutboundSpamPolicy]] = OutboundSpamPolicy
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Privilege, OutboundLimit)
    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("OUTBOUND-SPAM-FORWARD", Severity.ERROR, "apply", "Mailboxes may begin to forward mail outside."),
        Rule("OUTBOUND-SPAM-LIMIT", Severity.ERROR, "apply", "Mailboxes may send to fewer recipients than before."),
    )

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        spelling: dict[str, str] = {}
        for name, body in section.items():
            key = spelling.setdefault(caseless(name), name)
            yield Declared(key, fields.declared(OutboundSpamPolicy, key, body), (name,))

    def queries(self, wanted: Mapping[str, OutboundSpamPolicy | None], everything: bool) -> Sequence[Query]:
        """One listing: there are few."""
        if not wanted and not everything:
            return ()
        return (Query(Cmdlet("Get-HostedOutboundSpamFilterPolicy", columns=_COLUMNS), frozenset(wanted)),)

    def decode(
        self, wanted: Mapping[str, OutboundSpamPolicy | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, OutboundSpamPolicy | Unknown]:
        keys = {caseless(key): key for key in wanted}
        seen: dict[str, OutboundSpamPolicy | Unknown] = {}
        rows = (row for _, answer in answers for row in answer.rows)
        for form, row in by_name(rows, caseless, "Name", "Identity").items():
            if isinstance(row, Unknown):
                seen[keys.get(form, form)] = row
                continue
            key = keys.get(form) or str(row.get("Name") or row["Identity"])
            spec = OutboundSpamPolicy(key, **fields.decoded(OutboundSpamPolicy, row))
            seen[key] = answered(wanted.get(key), spec)
        return seen

    def fix(self, _wanted: OutboundSpamPolicy, _live: OutboundSpamPolicy | None, /) -> str:
        return "create the policy and its rule in the Microsoft Defender portal"

    def steps(self, before: OutboundSpamPolicy | None, after: OutboundSpamPolicy | None) -> Sequence[Step]:
        if before is None or after is None or not (changes := fields.changes(before, after)):
            return ()
        return (Send(Cmdlet("Set-HostedOutboundSpamFilterPolicy", {"Identity": before.name, **changes})),)

    def written_form(self, spec: OutboundSpamPolicy) -> tuple[tuple[str, ...], Any] | None:
        body = fields.written_body(spec)
        return ((spec.name,), body) if body else None

    def contribution(self, spec: OutboundSpamPolicy) -> Contributions:
        """Whether mail may be forwarded outside, and how much a mailbox may send."""
        limit = OutboundLimit(
            spec.name,
            spec.recipient_limit_per_day or 0,
            spec.recipient_limit_external_per_hour or 0,
            spec.recipient_limit_internal_per_hour or 0,
            spec.action_when_threshold_reached != "alert",
        )
        forwards = spec.auto_forwarding_mode == "on"
        return (limit, Privilege("auto_forwarding_mode")) if forwards else (limit,)

    def guards(self, before: OutboundSpamPolicy | None, after: OutboundSpamPolicy | None) -> Iterable[Guard]:
        if before is None or after is None:
            return
        if after.auto_forwarding_mode == "on" != before.auto_forwarding_mode:
            summary = "mailboxes may forward mail to external recipients: it leaves the organization unseen"
            yield Guard("OUTBOUND-SPAM-FORWARD", summary, "allow forwarding in a policy for single mailboxes only")
        for name in _LIMITS:
            was, will = getattr(before, name), getattr(after, name)
            if will and (not was or will < was):
                summary = f"{name}: a mailbox that sends to more than {will:,} recipients is stopped"
                hint = "leave room above what devices and applications send: devices share the limits of their mailbox"
                yield Guard("OUTBOUND-SPAM-LIMIT", summary, hint)

    def in_force(self, _wanted: OutboundSpamPolicy, _live: OutboundSpamPolicy, /) -> str:
        """Default is always in force; whether a rule gives another one to anybody is not read."""
        return ""

    def read_back(self, spec: OutboundSpamPolicy, /) -> ReadBack:
        request = Cmdlet("Get-HostedOutboundSpamFilterPolicy", {"Identity": spec.name})
        return ReadBack(request, fields.sent(spec, fields.columns(spec).keys()))
