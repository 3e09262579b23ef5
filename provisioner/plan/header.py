"""The keys of a plan that are not sections: for whom it is, what it may never touch, which rules it waives.

Defined once, for the loader and for the JSON Schema. A new key is a field here and, where it means something, a line in
document.py.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Required

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, with_config
from typing_extensions import TypedDict

from provisioner.model import Address
from provisioner.plan.mistakes import unknown_word
from provisioner.plan.variables import Variables
from provisioner.resources.canonical import day, domain_name, refusal
from provisioner.rules.catalogue import RULES

LANGUAGE = 1
"""The version of the plan language. Raised when a plan would mean something else to an older reader."""

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST_OWNER = 100


def _language(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if value == LANGUAGE:
            return value
        what = f"this plan is in version {value} of the plan language; this program reads version {LANGUAGE}"
        hint = "install a newer provisioner" if value > LANGUAGE else f"write provisioner: {LANGUAGE}"
        raise refusal("PLAN-VERSION", what, hint)
    what = "provisioner is the version of the plan language, a whole number"
    raise refusal("PLAN-VERSION", what, f"write provisioner: {LANGUAGE}")


def tenant_name(text: str) -> str:
    """A domain of the tenant, or the tenant's id; lower case. Raises TENANT-INVALID."""
    if _GUID.fullmatch(text.lower()):
        return text.lower()
    try:
        return domain_name(text)
    except ValueError:
        what = f'"{text}" is neither a domain nor the id of a tenant'
        raise refusal("TENANT-INVALID", what, "write contoso.onmicrosoft.com, or the tenant's GUID") from None


def owner_name(text: str) -> str:
    """A team's name for its mark: as it is. Raises OWNER-INVALID."""
    if not text or text != text.strip() or not text.isprintable() or len(text) > _LONGEST_OWNER:
        what = f"an owner is a short name of printable characters, {_LONGEST_OWNER} at most"
        raise refusal("OWNER-INVALID", what, "write a team and a stage, such as mail-platform/prod")
    return text


def address_pattern(text: str) -> str:
    """`type/key`, wildcards allowed, out of either form of an address."""
    try:
        return Address.parse(text).short
    except ValueError as error:
        raise refusal("ADDRESS-INVALID", f"{error}", "write inbound_connector/hq-relay") from None


def tombstone(text: str) -> str:
    """As `address_pattern`, of one resource."""
    short = address_pattern(text)
    if "*" in short or "?" in short:
        what = f'"{text}": what is to be deleted is named one by one, without wildcards'
        raise refusal("ADDRESS-INVALID", what, "write each address on a line of its own")
    return short


def _rule(text: str) -> str:
    rule = RULES.get(text)
    if rule is None:
        hint = unknown_word(text, _WAIVABLE)
        raise refusal("WAIVER-RULE-UNKNOWN", f'there is no rule "{text}"', hint)
    if not rule.waivable:
        what = f"{text} is a fact, about the plan or the tenant, and cannot be waived"
        raise refusal("WAIVER-RULE-FIXED", what, "fix the cause: this rule cannot be waived")
    if not rule.waivable_in_plan:
        what = f"{text} can be allowed for one run only, not by a plan"
        raise refusal("WAIVER-RULE-OF-A-RUN", what, f"remove the entry, and use: provisioner apply --allow {text}")
    return text


def _reason(text: str) -> str:
    if not text.strip():
        raise refusal("WAIVER-REASON-EMPTY", "a rule is waived without a reason", "say why, best with a ticket")
    return text.strip()


REQUIRED = {
    "provisioner": f"write provisioner: {LANGUAGE}, the version of the plan language",
    "tenant": "write tenant: and a domain of the only tenant that this plan may touch",
}
"""What every plan says somewhere, with how to fix it where it does not."""

_WAIVABLE = sorted(rule.id for rule in RULES.values() if rule.waivable_in_plan)

PatternText = Annotated[str, AfterValidator(address_pattern)]


@with_config(ConfigDict(extra="forbid"))
class WaiverEntry(TypedDict, total=False):
    """One rule waived, in the open: for some resources or all, until a day or for good, for a reason."""

    rule: Required[
        Annotated[
            str, AfterValidator(_rule), Field(description="The rule's id.", json_schema_extra={"enum": [*_WAIVABLE]})
        ]
    ]
    reason: Required[
        Annotated[str, AfterValidator(_reason), Field(description="Why; best with a ticket.", min_length=1)]
    ]
    until: Annotated[
        str,
        AfterValidator(day),
        Field(
            description="The last day on which it holds.",
            examples=["2027-03-31"],
            json_schema_extra={"format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        ),
    ]
    resource: Annotated[
        PatternText,
        Field(description="Only for these resources; wildcards allowed.", examples=["inbound_connector/hq-*"]),
    ]


@with_config(ConfigDict(extra="forbid"))
class Header(TypedDict, total=False):
    """Every key of a plan that is not a section. None is required here: the files of a folder share them."""

    provisioner: Annotated[
        Any,
        PlainValidator(_language),
        WithJsonSchema({"const": LANGUAGE, "description": "The version of the plan language."}),
    ]
    tenant: Annotated[
        str,
        AfterValidator(tenant_name),
        Field(
            description="The only tenant that the plan may touch: one of its domains, or its id.",
            examples=["contoso.onmicrosoft.com"],
            json_schema_extra={"minLength": 1},
        ),
    ]
    owner: Annotated[
        str,
        AfterValidator(owner_name),
        Field(
            description="Our mark on what the plan creates; what carries it and leaves the plan is deleted.",
            examples=["mail-platform/prod"],
            json_schema_extra={"minLength": 1, "maxLength": _LONGEST_OWNER},
        ),
    ]
    protect: Annotated[
        list[PatternText],
        Field(description="Never deleted or reset.", examples=[["inbound_connector/hq-relay"]]),
    ]
    absent: Annotated[
        list[Annotated[str, AfterValidator(tombstone)]],
        Field(description="What is to be deleted, one by one.", examples=[["inbound_connector/old-mfp"]]),
    ]
    ignore: Annotated[
        list[PatternText],
        Field(description="Not ours: undeclared objects never looked at.", examples=[["inbound_connector/Hybrid *"]]),
    ]
    allow: Annotated[list[WaiverEntry], Field(description="Rules waived, in the open.")]
    variables: Variables
    include: Annotated[
        list[str],
        Field(
            description="Files or folders that belong to the plan too, seen from this file.",
            examples=[["../shared/connectors.yaml"]],
        ),
    ]
