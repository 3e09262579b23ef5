"""Get-LimitsEnforcementStatus: the tenant's external recipients in the last 24 hours, and its limit.

The limit is 500 x licences^0.7 + 9,500 (Exchange Team Blog, 24 February 2025). Licences are the user objects with an
Exchange plan, and the mail is that of the message traces to recipients outside; `settings.external_recipients: {
observed: 9000, threshold: 10000 }` says other numbers. Four columns are known from scripts that read them (Microsoft's
CSS-Exchange, CIPP); the cmdlet has no page. The words of Verdict are ours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from provisioner.sandbox.clock import stored_time
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Rows
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Tenant

_WINDOW = dt.timedelta(hours=24)


def _observed(tenant: Tenant) -> int:
    accepted = {str(row["DomainName"]).lower() for row in tenant.rows("AcceptedDomain")}
    since = tenant.clock.now() - _WINDOW
    return sum(
        1
        for row in tenant.objects.get("MessageTrace", ())
        if (when := stored_time(row.get("Received"))) is not None
        and when >= since
        and str(row.get("SenderAddress", "")).rpartition("@")[2].lower() in accepted
        and str(row.get("RecipientAddress", "")).rpartition("@")[2].lower() not in accepted
    )


def _threshold(tenant: Tenant) -> int:
    licences = sum(1 for user in tenant.graph.get("users", ()) if user.get("assignedPlans"))
    return int(500 * float(max(1, licences)) ** 0.7 + 9500)


def _get(call: Call) -> Rows:
    written = call.tenant.settings.get("external_recipients")
    told: Mapping[str, Any] = written if isinstance(written, Mapping) else {}
    observed = told.get("observed", None)
    observed = _observed(call.tenant) if observed is None else int(observed)
    threshold = int(told.get("threshold") or _threshold(call.tenant))
    return [
        {
            "EnforcementEnabled": bool(told.get("enforced", True)),
            "ObservedValue": observed,
            "Threshold": threshold,
            "Verdict": "Blocked" if observed >= threshold else "Allowed",
        }
    ]


CMDLETS = (Cmdlet("Get-LimitsEnforcementStatus", (), _get),)
