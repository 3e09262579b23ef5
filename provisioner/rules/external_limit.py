"""What the plan's devices reach outside, against the tenant's limit of external recipients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provisioner.mailflow.asking import counted_outside
from provisioner.model import Desired, Finding, Observed, request_key
from provisioner.model.devices import Device
from provisioner.resources.rows import external_limit, rows_of
from provisioner.resources.rows.external_limit import ExternalLimit
from provisioner.rules.catalogue import RULES
from provisioner.rules.unread import not_decided, why_unread

_RULE = RULES["TENANT-EXTERNAL-LIMIT"]
_BULK = "Azure Communication Services Email is made for bulk mail"


def external_limit_findings(desired: Desired, observed: Observed | None) -> Iterator[Finding]:
    """The headroom of the tenant where it was read; else how many licences the devices alone need.

    High Volume Email is not counted by the limit, nor is mail within the organization.
    """
    devices = counted_outside(desired)
    if not devices:
        return
    found, evidence = None, observed.evidence if observed else {}
    answer = evidence.get(request_key(external_limit.REQUEST))
    if answer is not None:
        found = external_limit.decode(rows_of(evidence, external_limit.REQUEST))
    if found is not None:
        yield from _against(found, devices)
        return
    yield from _without_tenant(devices)
    if why := why_unread(answer):
        what = "whether the tenant's limit of external recipients has room for the devices"
        yield not_decided(_RULE.id, what, external_limit.REQUEST.name, why, devices[0].location)


def _against(limit: ExternalLimit, devices: Sequence[Device]) -> Iterator[Finding]:
    total, most = _total(devices), _most(devices)
    if total <= limit.headroom:
        return
    summary = (
        f"the devices may reach {total:,} external recipients a day, {most.address} the most; the tenant reached "
        f"{limit.reached:,} of {limit.most:,} in the last 24 hours, which leaves {limit.headroom:,}"
        f"{' (550 5.7.233)' if limit.enforced else '; the limit is not enforced yet'}"
    )
    hint = f"move them one after another and compare again, unless they send through this tenant already; {_BULK}"
    yield Finding(_RULE.id, _RULE.severity, summary, hint, blocks=_RULE.blocks, location=most.location)


def _without_tenant(devices: Sequence[Device]) -> Iterator[Finding]:
    total, most = _total(devices), _most(devices)
    if total <= external_limit.FIRST_LICENCE:
        return
    summary = (
        f"the devices may reach {total:,} external recipients a day, {most.address} the most; a tenant may with "
        f"{external_limit.licences_for(total):,} licences or more (550 5.7.233), mail of people included"
    )
    hint = f"compare the licences of the tenant without trials; {_BULK}"
    yield Finding(_RULE.id, _RULE.severity, summary, hint, blocks=_RULE.blocks, location=most.location)


def _total(devices: Sequence[Device]) -> int:
    return sum(device.recipients_per_day for device in devices)


def _most(devices: Sequence[Device]) -> Device:
    return max(devices, key=lambda device: device.recipients_per_day)
