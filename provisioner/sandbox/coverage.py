"""What the sandbox models of the published cmdlets of sending mail, and where its table differs from theirs.

`cmdlets/published.json` has the facts of Microsoft's reference as of a day (`scripts/published-cmdlets` makes it). A
difference is a fault of the sandbox, or stands in EXPLAINED with the source that knows better.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.sandbox.cmdlets.parameters import Kind, Parameter
from provisioner.sandbox.cmdlets.running import CMDLETS
from provisioner.sandbox.cmdlets.table import Cmdlet

_FILE = Path(__file__).parent / "cmdlets" / "published.json"

EXPLAINED: Mapping[str, str] = {
    "Get-BillingPolicy is not published": "billing policies are named by a cmdlet of another module; here for tests",
    "Get-LimitsEnforcementStatus is not published": "it has no page; Microsoft's CSS-Exchange scripts call it",
    "Get-HostedOutboundSpamFilterPolicy -Identity is mandatory": "its own examples call it without",
    "Enable-IPv6ForAcceptedDomain -Domain is optional": "what it does without a domain is not published",
    "Disable-IPv6ForAcceptedDomain -Domain is optional": "what it does without a domain is not published",
    "Get-IPv6StatusForAcceptedDomain -Domain is optional": "what it answers without a domain is not published",
    "Set-TenantAllowBlockListItems -NoExpiration is mandatory": "its own examples call it without",
    **{
        f"Set-OrganizationConfig -{name} belongs to all parameter sets": "SYNTAX of the same page has it in some sets"
        for name in (
            "DefaultAuthenticationPolicy",
            "ActivityBasedAuthenticationTimeoutEnabled",
            "ActivityBasedAuthenticationTimeoutInterval",
            "MailTipsExternalRecipientsTipsEnabled",
        )
    },
    "New-ServicePrincipal -ObjectId is mandatory": "ServiceId, its former name, is mandatory too: one of them will do",
    "New-ServicePrincipal -ServiceId is mandatory": "the former name of ObjectId: one of them will do",
}
"""Differences that are meant, with the reason."""


@dataclass(frozen=True, slots=True)
class Published:
    """The facts: the commit and its day, and the parameters of each cmdlet by lower-case names.

    `names` are the names of all published cmdlets as they are written, also of those that mail has nothing to do with.
    """

    commit: str
    day: str
    cmdlets: Mapping[str, Mapping[str, Mapping[str, Any]]]
    names: Mapping[str, str]

    def parameters(self, cmdlet: str) -> Mapping[str, Mapping[str, Any]]:
        """The parameters of a cmdlet by lower-case name."""
        return {name.lower(): facts for name, facts in self.cmdlets.get(cmdlet.lower(), {}).items()}

    def is_cmdlet(self, name: str) -> bool:
        """Whether it is one of those whose parameters are known."""
        return name.lower() in self.cmdlets


@functools.cache
def published() -> Published:
    """The published table."""
    read = json.loads(_FILE.read_text(encoding="utf-8"))
    cmdlets = {name.lower(): parameters for name, parameters in read["cmdlets"].items()}
    names = {name.lower(): name for name in (*read["others"], *read["cmdlets"])}
    return Published(read["commit"], read["day"], cmdlets, names)


# --- differences -----------------------------------------------------------------------------------------------------

_TEXTS = frozenset({Kind.STRING, Kind.ENUM, Kind.IDENTITY, Kind.TIMESPAN})
_FITTING: Mapping[str, frozenset[Kind]] = {
    "Boolean": frozenset({Kind.BOOL}),
    "SwitchParameter": frozenset({Kind.SWITCH}),
    **dict.fromkeys(("MultiValuedProperty", "ProxyAddressCollection"), frozenset({Kind.LIST, Kind.ARRAY})),
    **dict.fromkeys(("Int16", "Int32", "UInt16", "UInt32"), frozenset({Kind.INT})),
    "SclValue": frozenset({Kind.INT, Kind.STRING}),
}


def fits(kind: Kind, type_name: str) -> bool:
    """Whether a parameter converts as its published type does. Identities, enumerations and dates are texts here."""
    name = type_name.removeprefix("System.")
    if name.endswith("[]"):
        return kind in {Kind.LIST, Kind.ARRAY, Kind.ENUM}
    return kind in _FITTING.get(name, _TEXTS)


def differences() -> Iterator[str]:
    """Where the sandbox's table is not the published one, a sentence each."""
    facts = published()
    for cmdlet in CMDLETS.values():
        if not facts.is_cmdlet(cmdlet.name):
            yield f"{cmdlet.name} is not published"
            continue
        theirs = facts.parameters(cmdlet.name)
        for parameter in cmdlet.parameters:
            yield from _of_parameter(cmdlet, parameter, theirs.get(parameter.name.lower()))


def _of_parameter(cmdlet: Cmdlet, ours: Parameter, theirs: Mapping[str, Any] | None) -> Iterator[str]:
    name = f"{cmdlet.name} -{ours.name}"
    if theirs is None:
        yield f"{name} is not published"
        return
    if not fits(ours.kind, theirs["type"]):
        yield f"{name} is of type {theirs['type']}"
    mandatory = theirs.get("mandatory", False)
    if "sets" not in theirs and not ours.sets and ours.required is not mandatory:
        yield f"{name} is {'mandatory' if mandatory else 'optional'}"
    if ours.sets and "sets" not in theirs:
        yield f"{name} belongs to all parameter sets"


# --- coverage --------------------------------------------------------------------------------------------------------


def not_modelled(cmdlet: str, parameters: Mapping[str, Any]) -> str:
    """What of a call the service has and the sandbox does not: a cmdlet or parameters; "" for nothing."""
    facts, ours = published(), CMDLETS.get(cmdlet.lower())
    if ours is None:
        written = facts.names.get(cmdlet.lower())
        return f"the cmdlet {written}" if written else ""
    known = {parameter.name.lower() for parameter in ours.parameters}
    theirs = facts.parameters(cmdlet)
    left = [name for name in parameters if name.lower() in theirs and name.lower() not in known]
    return f"the parameter {', '.join(f'-{name}' for name in left)} of {ours.name}" if left else ""


def page() -> str:
    """docs/sandbox-coverage.md."""
    facts = published()
    rows, modelled, cmdlets = [], 0, 0
    total = sum(map(len, facts.cmdlets.values()))
    for name in sorted(facts.cmdlets):
        theirs = facts.parameters(name)
        ours = CMDLETS.get(name)
        known = {p.name.lower() for p in ours.parameters} & theirs.keys() if ours else set()
        modelled, cmdlets = modelled + len(known), cmdlets + (ours is not None)
        lacking = [written for written in facts.cmdlets[name] if written.lower() not in known]
        shown = "not modelled" if ours is None else ", ".join(lacking) or "none"
        rows.append(f"| `{facts.names[name]}` | {len(known)} / {len(theirs)} | {shown} |")
    head = _HEAD.format(day=facts.day, commit=facts.commit[:12], cmdlets=cmdlets, of=len(facts.cmdlets),
                        modelled=modelled, total=total, others=len(facts.names) - len(facts.cmdlets))  # fmt: skip
    meant = [f"| {difference} | {reason} |" for difference, reason in sorted(EXPLAINED.items())]
    return "\n".join([head, *rows, _DIFFERENCES, *meant]) + "\n"


_HEAD = """# What the sandbox models

The cmdlets of sending mail and their parameters, against Microsoft's published reference
(MicrosoftDocs/office-docs-powershell, commit {commit}, {day}). `scripts/sandbox-coverage` prints this page, and a test
keeps both equal. Common parameters, `Confirm`, `WhatIf` and `ResultSize`, are not counted; what is for on-premises
Exchange only is left out. Of the other {others} published cmdlets none is modelled.

A call of what is not modelled is answered as the service answers for what it does not have. It is marked in the log, in
`provisioner sandbox requests` (`not_modelled`), and by the response header `x-ms-sandbox-not-modelled`.

**{cmdlets} of {of} cmdlets, {modelled} of {total} parameters.**

| cmdlet | parameters modelled | not modelled |
|---|---|---|"""
_DIFFERENCES = """
## Differences that are meant

The published page says, and the sandbox does otherwise:

| page | reason |
|---|---|"""
