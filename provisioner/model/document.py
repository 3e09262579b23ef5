"""The change set as the one JSON document, typed: `changes` writes it, `render` and the journal read it.

The shape is Terraform's plan representation (format 1.2,
https://developer.hashicorp.com/terraform/internals/json-format); our own facts stand under `provisioner`, where other
readers skip them. Values of fields are JSON: canonical sets are sorted lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict, final

Fields = Mapping[str, Any]
"""The written fields of a canonical object by name."""


class LocationDocument(TypedDict):
    """A place in a plan."""

    file: str
    line: int
    column: int


class HintDocument(TypedDict):
    """What to do, under its name and under the one that it had first: programs of format 2 read either."""

    hint: str
    mend: str


def hinted(text: str) -> HintDocument:
    """A hint as it stands in every JSON document. The former name goes with format 3 of change sets."""
    return {"hint": text, "mend": text}


class FindingDocument(HintDocument):
    """A finding. `blocks` is "", "apply" or "precondition", `waived` the reason of a waiver or "".

    `known` is there where the plan alone leads to the finding, and nothing that it is about changes.
    """

    rule: str
    severity: str
    summary: str
    address: str | None
    blocks: str
    waived: str
    location: LocationDocument | None
    known: NotRequired[bool]


class FieldDocument(TypedDict):
    """A field that differs. `default`: the plan does not write it, and its creation sends it all the same."""

    name: str
    before: Any
    after: Any
    default: NotRequired[bool]


@final
class CmdletDocument(TypedDict):
    """A cmdlet; parameters with `$secret`, `$ref` and `$delta` stand for what is known when it is sent."""

    cmdlet: str
    parameters: dict[str, Any]


@final
class UpdateDocument(TypedDict):
    """An update of DNS: `update` is name and type. `$pending` stands for a value that another object names later.

    `strings` are the parts of added TXT values that are split in an unusual way.
    """

    update: str
    provider: str
    add: list[Any]
    remove: list[str]
    ttl_s: int
    strings: NotRequired[list[list[str]]]


class ReadBackDocument(TypedDict):
    """A Get of one object, and what its columns have once it is in force; a list has at least these entries."""

    read: CmdletDocument
    shows: dict[str, Any]


class PromiseDocument(ReadBackDocument):
    """A declared object that gives somebody a path, and so must be in force before anything is closed."""

    address: str


class RecordDocument(TypedDict):
    """A DNS record that a step waits for; its value may be a `$ref` to an earlier answer."""

    name: str
    type: str
    value: Any


@final
class SendDocument(TypedDict):
    """A step that sends a write."""

    send: CmdletDocument | UpdateDocument
    waits_on: list[str]
    blocked_on: list[str]


AwaitDocument = TypedDict("AwaitDocument", {"await": list[RecordDocument]})
"""A step that waits for DNS records."""


@final
class ConfirmDocument(TypedDict):
    """A step that reads back until the object shows these values; the steps after it close sending paths.

    `read_back` is for those who do it by hand.
    """

    confirm: Fields
    read_back: ReadBackDocument | None


StepDocument = SendDocument | AwaitDocument | ConfirmDocument


class SidesDocument(TypedDict):
    """A change as Terraform shows it."""

    actions: list[str]
    before: Fields | None
    after: Fields | None
    after_unknown: dict[str, Any]
    before_sensitive: dict[str, Any] | Literal[False]
    after_sensitive: dict[str, Any] | Literal[False]


class ResourceDocument(TypedDict):
    """Which resource it is, in Terraform's words."""

    address: str
    mode: str
    type: str
    name: str
    index: str
    provider_name: str


class ChangeFacts(TypedDict):
    """What we add to a change."""

    reason: str
    observed: Fields | None
    consequences: list[str]
    closes: bool
    fields: list[FieldDocument]
    needs: list[str]
    steps: list[StepDocument]
    inverse: list[StepDocument]


class ChangeDocument(ResourceDocument):
    """A change of one resource, no-ops included. `previous_address` is that of a renamed object by its present name."""

    change: SidesDocument
    provisioner: ChangeFacts
    previous_address: NotRequired[str]


class DriftFacts(TypedDict):
    """The run that had brought the resource to its state, and the fields that were changed since."""

    run: str
    fields: list[str]


class DriftDocument(ResourceDocument):
    """What was changed from outside."""

    change: SidesDocument
    provisioner: DriftFacts


class UnreadableDocument(TypedDict):
    """A resource that could not be read."""

    address: str
    reason: str
    kind: str


class UnlistedDocument(TypedDict):
    """A resource type whose undeclared objects could not be listed."""

    type: str
    reason: str
    kind: str


class UnmanagedObjectDocument(TypedDict):
    """An unmanaged object: its effect on mail, and who made it: hybrid_wizard, or the plan in its ownership mark."""

    address: str
    what: str
    made_by: str
    owner: str


class UnmanagedDocument(TypedDict):
    """How many objects of the plan's types are not declared in it, and those that are named."""

    count: int
    objects: list[UnmanagedObjectDocument]


class PlanDocument(TypedDict):
    """The plan that it was made from."""

    digest: str
    files: list[str]
    commit: str


class RequestsDocument(TypedDict):
    """How many requests were sent, and how many writes apply will send."""

    read: int
    write: int


class PathDeviceDocument(TypedDict):
    """A device of the plan that uses a path, and its site ("" for none)."""

    name: str
    site: str


class PathDocument(TypedDict):
    """A sending path (model/paths.py). `count` is how many mailboxes inherit, None for not known."""

    kind: str
    sender: str
    through: str
    ways: list[str]
    recipients: str
    state: str
    gains: bool
    loses: bool
    held_back: bool
    devices: list[PathDeviceDocument]
    count: int | None


class SummaryDocument(TypedDict):
    """What the changes amount to (model/figures.py). `inheriting` counts mailboxes, None for not known."""

    admits: int
    may_stop: int
    inheriting_admitted: bool
    inheriting_may_stop: bool
    mail_may_stop: int
    inheriting: int | None
    direct_send: str
    deletes: int
    dns_records: int
    sentence: str


class Facts(TypedDict):
    """What we add to the document. `paths` and `summary` came later than format 2 and may be missing.

    `basis` is what the change set is derived from again (changes/verification.py).
    """

    format: int
    version: str
    tenant: str
    tenant_id: str
    owner: str
    transport: str
    plan: PlanDocument
    expires: str
    left: list[str]
    requests: RequestsDocument
    findings: list[FindingDocument]
    unreadable: list[UnreadableDocument]
    unlisted: list[UnlistedDocument]
    unmanaged: UnmanagedDocument
    promises: list[PromiseDocument]
    basis: dict[str, Any] | None
    digest: str
    paths: NotRequired[list[PathDocument]]
    summary: NotRequired[SummaryDocument]


class ChangeSetDocument(TypedDict):
    """The whole document."""

    format_version: str
    resource_changes: list[ChangeDocument]
    resource_drift: NotRequired[list[DriftDocument]]
    output_changes: dict[str, Any]
    variables: dict[str, Any]
    checks: list[dict[str, Any]]
    timestamp: str
    applyable: bool
    complete: bool
    errored: bool
    provisioner: Facts


class ResultDocument(TypedDict):
    """How one change of an apply ended."""

    address: str
    action: str
    status: str
    detail: str
    warnings: list[str]
    seconds: float
