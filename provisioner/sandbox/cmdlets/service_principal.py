"""Service principals of applications that were registered with Exchange: Get-ServicePrincipal.

A row refers to the service principal in Entra by AppId and ObjectId, the object id under "Enterprise applications"; its
own Guid is a third id (Learn, Get-ServicePrincipal). Each of them names it, and so does its Sid, which administrators
give to -Trustee and -User as well. A seed has them as `objects: { ServicePrincipal: [{ AppId, ObjectId, … }] }`.
"""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.sandbox.cmdlets.objects import Noun, stable_guid
from provisioner.sandbox.cmdlets.table import get_cmdlet
from provisioner.sandbox.tenant import Row, Tenant


def _names(row: Row) -> Iterable[object]:
    return [row[column] for column in ("AppId", "ObjectId", "Sid", "DisplayName") if row.get(column)]


def _derive(tenant: Tenant, row: Row) -> None:
    row["ObjectId"] = row["ObjectId"] or stable_guid(tenant.tenant_id, "service-principal", str(row["AppId"]).lower())
    row["DisplayName"] = row["DisplayName"] or str(row["Name"])
    row["Sid"] = row["Sid"] or f"S-1-5-21-{stable_guid(str(row['ObjectId']).lower())}"


NOUN = Noun(
    "ServicePrincipal",
    {"DisplayName": "", "AppId": "", "ObjectId": "", "Sid": ""},
    container="OU=",
    category="Person",
    key="AppId",
    leaks=True,
    names=_names,
    derive=_derive,
)
CMDLETS = (get_cmdlet(NOUN),)
