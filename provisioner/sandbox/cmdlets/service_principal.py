"""Service principals of applications that were registered with Exchange: Get-, New-, Set- and Remove-ServicePrincipal.

A row refers to the service principal in Entra by AppId and ObjectId, the object id under "Enterprise applications"; its
own Guid is a third id (Learn, Get-ServicePrincipal). Each of them names it, and so does its Sid, which administrators
give to -Trustee and -User as well. A seed has them as `objects: { ServicePrincipal: [{ AppId, ObjectId, … }] }`.

New takes whichever ids it is given and compares them with nothing (michev.info, "More on service principal permissions
in Exchange Online"); Set changes the display name only (Learn, Set-ServicePrincipal). `-ServiceId` is the name that
ObjectId had before.
"""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, create, set_row, stable_guid, target
from provisioner.sandbox.cmdlets.parameters import identity, string
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet, remove_cmdlet
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


def _new(call: Call) -> Rows:
    app, enterprise = str(call.get("AppId")), str(call.get("ObjectId") or call.get("ServiceId") or "")
    if not enterprise:
        raise errors.missing_parameters(["ObjectId"])
    for row in call.tenant.rows(NOUN.name):
        if app.lower() == str(row["AppId"]).lower() or enterprise.lower() == str(row["ObjectId"]).lower():
            raise errors.already_exists(app)
    return create(call, NOUN, {"AppId": app, "ObjectId": enterprise, "DisplayName": call.get("DisplayName") or ""})


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    given = {"DisplayName": str(call.get("DisplayName") or "")} if call.given("DisplayName") else {}
    if set_row(call, NOUN, row, given):
        call.tenant.forget_indexes()  # a row goes by its display name too
    return []


CMDLETS = (
    get_cmdlet(NOUN),
    Cmdlet(
        "New-ServicePrincipal",
        (string("AppId", required=True), string("ObjectId"), string("ServiceId"), string("DisplayName")),
        _new,
    ),
    Cmdlet("Set-ServicePrincipal", (identity(), string("DisplayName")), _set),
    remove_cmdlet(NOUN),
)
