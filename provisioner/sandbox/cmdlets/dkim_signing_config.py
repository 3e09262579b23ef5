"""DKIM signing: Get, New, Set, Remove, Rotate.

Key pairs and CNAME targets are the service's business: a target can't be computed from the domain. Enabling looks for
both CNAMEs in DNS. Sources: defender-docs `email-authentication-dkim-configure`, Set-/New-/Rotate-DkimSigningConfig,
and live rows.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import secrets
import string as letters
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provisioner.sandbox.clock import stored_time, time_like, wire_time
from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import (
    Noun,
    Rows,
    accepted_domains,
    create,
    differing,
    refuse_duplicate,
    remove,
    set_row,
    stamp,
    stored_values,
    target,
)
from provisioner.sandbox.cmdlets.parameters import boolean, choice, identity, integer, string, switch
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet
from provisioner.sandbox.public_dns import of_the_service
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Row, Tenant

_LONGEST_LABEL = 63
_SMALLEST_KEY = 512
_OVERLAP = dt.timedelta(days=4)
_SELECTORS = ("selector1", "selector2")


def _derive(tenant: Tenant, row: Row) -> None:
    """Domain, keys and targets of a new row; what a seed gave stays."""
    domain = row["Domain"] = row["Domain"] or row["Name"]
    for number, selector in enumerate(_SELECTORS, start=1):
        row[f"Selector{number}CNAME"] = row[f"Selector{number}CNAME"] or cname_target(tenant, selector, domain)
        size = row[f"Selector{number}KeySize"]
        sized = isinstance(size, int) and size >= _SMALLEST_KEY  # a row with the status NoDKIMKeys has neither
        key = row[f"Selector{number}PublicKey"] or (public_key(size) if sized else "")
        row[f"Selector{number}PublicKey"] = key
        if key:
            publish_key(tenant, row[f"Selector{number}CNAME"], key)
    now = wire_time(tenant.clock.now())
    for column in ("KeyCreationTime", "LastChecked", "RotateOnDate"):
        row[column] = row[column] or now
    row["IsDefault"] = row["IsDefault"] or domain.lower() == tenant.initial_domain.lower()
    row["Status"] = row["Status"] or _status(tenant, row)


NOUN = Noun(
    "DkimSigningConfig",
    {
        "Domain": "",
        "AdminDisplayName": "",
        "Selector1KeySize": 1024,
        "Selector1CNAME": "",
        "Selector1PublicKey": "",
        "Selector2KeySize": 1024,
        "Selector2CNAME": "",
        "Selector2PublicKey": "",
        "Enabled": False,
        "IsDefault": False,
        "HeaderCanonicalization": "Relaxed",
        "BodyCanonicalization": "Relaxed",
        "Algorithm": "RsaSHA256",
        "NumberOfBytesToSign": "All",
        "IncludeSignatureCreationTime": True,
        "IncludeKeyExpiration": False,
        "KeyCreationTime": "",
        "LastChecked": "",
        "RotateOnDate": "",
        "SelectorBeforeRotateOnDate": "selector2",
        "SelectorAfterRotateOnDate": "selector1",
        "Status": "",
    },
    container="CN=Dkim Signing config,CN=Transport Settings,CN=Configuration",
    category="ms-Exch-Hosted-Content-Filter-Config",
    object_class=("top", "msExchHostedContentFilterConfig"),
    key="Domain",
    leaks=True,
    derive=_derive,
)

_CANONICALIZATION = (
    "Microsoft.Exchange.Data.Directory.SystemConfiguration.CanonicalizationType",
    "Simple",
    "Relaxed",
)
_SHARED = (
    string("AdminDisplayName"),
    choice("HeaderCanonicalization", *_CANONICALIZATION),
    choice("BodyCanonicalization", *_CANONICALIZATION),
)
_NEW = (
    string("DomainName", required=True, stored=False),
    boolean("Enabled", required=True),
    integer("KeySize", stored=False),
    *_SHARED,
)
_SET = (identity(), boolean("Enabled"), switch("PublishTxtRecords", stored=False), *_SHARED)
_ROTATE = (identity(), integer("KeySize", stored=False))


# --- keys and targets ------------------------------------------------------------------------------------------------


def cname_target(tenant: Tenant, selector: str, domain: str) -> str:
    """Where a selector's CNAME must point, in the form that domains get since May 2025.

    The character before `-v1` is each domain's own, and a label is sometimes, a long one always, given a hash as a
    suffix; in the service nobody knows by which rule.
    """
    digest = hashlib.sha256(f"{tenant.tenant_id}/{folded(domain)}".encode()).digest()
    label = folded(domain).replace(".", "-")
    room = _LONGEST_LABEL - len(f"{selector}-")
    suffix = base64.b32encode(digest[:5]).decode().lower()
    if len(label) > room:
        label = f"{label[: room - len(suffix)]}{suffix}"
    elif digest[5] % 4 == 0 and len(label) + 3 <= room:
        label += suffix[:3]
    prefix = tenant.initial_domain.partition(".")[0]
    character = letters.ascii_lowercase[digest[6] % 26]
    return f"{selector}-{label}._domainkey.{prefix}.{character}-v1.dkim.mail.microsoft"


def public_key(bits: int) -> str:
    """The text of a DKIM key record. Nothing ever signs with it, so the modulus is random instead of a product."""
    modulus = secrets.randbits(bits) | 1 << bits - 1 | 1
    key = RSAPublicNumbers(65537, modulus).public_key()
    encoded = base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    return f"v=DKIM1; k=rsa; p={encoded};"


def publish_key(tenant: Tenant, owner: str, key: str) -> None:
    """Put a key into the service's own zone, where the customer's CNAME leads."""
    tenant.dns.setdefault(owner.lower().rstrip("."), {})["TXT"] = [key]


def _status(tenant: Tenant, row: Mapping[str, object]) -> str:
    """Valid when both CNAMEs stand in DNS. Domains under onmicrosoft.com are the service's own and need none.

    The coexistence domain is an exception: its zone is the service's, and has none (cisagov/ScubaGear issue 1722).
    """
    domain = folded(str(row["Domain"]))
    if of_the_service(domain) and not domain.partition(".")[2].startswith("mail."):
        return "Valid"
    for number, selector in enumerate(_SELECTORS, start=1):
        found = tenant.dns.get(f"{selector}._domainkey.{domain}", {}).get("CNAME", [])
        wanted = str(row[f"Selector{number}CNAME"]).lower().rstrip(".")
        if [value.lower().rstrip(".") for value in found] != [wanted]:
            return "CnameMissing"
    return "Valid"


def _cname_missing(row: Mapping[str, object]) -> errors.CmdletError:
    """Microsoft's sentence (defender-docs, set-up of DKIM), spaces as there."""
    text = (
        "CNAME record does not exist for this config. Please publish the following two CNAME records first. "
        f"Domain Name : {row['Domain']} "
        f"Host Name : selector1._domainkey Points to address or value: {row['Selector1CNAME']} "
        f"Host Name : selector2._domainkey Points to address or value: {row['Selector2CNAME']} . "
        "If you have already published the CNAME records, sync will take a few minutes to as many as 4 days based on "
        "your specific DNS. Return and retry this step later."
    )
    return errors.CmdletError("Microsoft.Exchange.ManagementTasks.ValidationException", text, "InvalidOperation")


# --- cmdlets ---------------------------------------------------------------------------------------------------------


def _key_size(call: Call, default: int) -> int:
    size = int(call.get("KeySize", default))
    if size not in {1024, 2048}:
        raise errors.invalid(f"The key size {size} isn't valid. Valid values are 1024 and 2048.")
    return size


def _new(call: Call) -> Rows:
    domain = str(call.get("DomainName") or "")
    if folded(domain) not in accepted_domains(call.tenant):
        raise _not_a_dkim_domain(domain)
    if domain.lower() == call.tenant.initial_domain.lower() and call.tenant.settings.get("dkim_initial_domain_refused"):
        raise _not_a_dkim_domain(domain)
    refuse_duplicate(call.tenant, NOUN, domain)
    size = _key_size(call, 1024)
    given = {
        **stored_values(call, _NEW, {}),
        "Domain": domain,
        "Name": domain,
        "Selector1KeySize": size,
        "Selector2KeySize": size,
    }
    if given["Enabled"]:
        _refuse_unpublished(call, given)
    if call.dry:
        return []
    return create(call, NOUN, given)


def _not_a_dkim_domain(domain: str) -> errors.CmdletError:
    """Recorded: Microsoft365DSC issue 2791.

    For the initial domain the sources disagree: Learn (defender-docs, set-up of DKIM) creates its configuration with
    New -Enabled $false, Microsoft365DSC issues 6896 and 6905 saw this refusal (setting `dkim_initial_domain_refused`).
    """
    return errors.invalid(
        f'Invalid domain name specified "{domain}". Please specify tenant name or valid accepted domain.'
    )


def _refuse_unpublished(call: Call, given: Row) -> None:
    """New with Enabled before the CNAMEs stand: refused, or created disabled with the same sentence as a warning.

    Which of the two the service does is not documented: setting `dkim_new_enabled_creates_disabled` takes the second.
    """
    domain = str(given["Domain"])
    targets = {f"Selector{n}CNAME": cname_target(call.tenant, s, domain) for n, s in enumerate(_SELECTORS, start=1)}
    if _status(call.tenant, {**given, **targets}) == "Valid":
        return
    refusal = _cname_missing({**given, **targets})
    if not call.tenant.settings.get("dkim_new_enabled_creates_disabled"):
        raise refusal
    given["Enabled"] = False
    call.warn(refusal.message)


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    changes = differing(row, stored_values(call, _SET, row))
    if changes.get("Enabled") is True:
        if _status(call.tenant, row) != "Valid":
            raise _cname_missing(row)
        changes["Status"] = "Valid"
        changes["LastChecked"] = time_like(row.get("LastChecked"), call.tenant.clock.now())
    if call.get("PublishTxtRecords") and not call.dry:
        for number in (1, 2):
            publish_key(call.tenant, row[f"Selector{number}CNAME"], row[f"Selector{number}PublicKey"])
        call.tenant.changed()
    set_row(call, NOUN, row, changes)
    return []


def _rotate(call: Call) -> Rows:
    """A new key for the selector that does not sign now; it signs from RotateOnDate on, four days later."""
    row = target(call, NOUN)
    if not row.get("Enabled"):
        # Documented for enabled domains only; the sentence is ours.
        raise errors.invalid(f"The DKIM signing policy of '{row['Domain']}' isn't enabled. Enable it before rotating.")
    now, due = call.tenant.clock.now(), stored_time(row.get("RotateOnDate"))
    column = "SelectorAfterRotateOnDate" if due is None or now >= due else "SelectorBeforeRotateOnDate"
    active = str(row[column])
    resting = next(selector for selector in _SELECTORS if selector != active)
    number = _SELECTORS.index(resting) + 1
    size = _key_size(call, int(row[f"Selector{number}KeySize"]))
    key = public_key(size)
    if call.dry:
        return []
    created = time_like(row.get("KeyCreationTime"), now)
    call.update(
        NOUN.name,
        row,
        {
            f"Selector{number}KeySize": size,
            f"Selector{number}PublicKey": key,
            "KeyCreationTime": created,
            "RotateOnDate": time_like(created, now + _OVERLAP),
            "SelectorBeforeRotateOnDate": active,
            "SelectorAfterRotateOnDate": resting,
            **stamp(call.tenant, row),
        },
        renames=False,
    )
    publish_key(call.tenant, str(row[f"Selector{number}CNAME"]), key)
    return []


def _remove(call: Call) -> Rows:
    row = target(call, NOUN)
    if not call.dry:
        for number in (1, 2):
            call.tenant.dns.pop(str(row.get(f"Selector{number}CNAME", "")).lower(), None)
    return remove(call, NOUN)


CMDLETS = (
    get_cmdlet(NOUN),
    Cmdlet("New-DkimSigningConfig", _NEW, _new),
    Cmdlet("Set-DkimSigningConfig", _SET, _set),
    Cmdlet("Remove-DkimSigningConfig", (identity(),), _remove),
    Cmdlet("Rotate-DkimSigningConfig", _ROTATE, _rotate),
)
