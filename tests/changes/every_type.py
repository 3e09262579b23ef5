"""Change sets of every resource type that changes something: created, updated, deleted, with values of every field."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from provisioner.changes import planning
from provisioner.model import Absent, Address, ChangeSet, Desired, Observed, Present, Resource, ResourceType
from provisioner.resources import TYPES, fields
from provisioner.resources.dkim import Dkim
from provisioner.resources.dns_record import DnsRecord
from provisioner.resources.mailbox_selection import MailboxSelection
from provisioner.resources.policy_assignment import PolicyAssignment
from provisioner.resources.send_as import pair_of
from provisioner.resources.smtp_auth import SmtpAuth
from tests.generated import whole

CHANGING = tuple(kind for kind in TYPES if not kind.precondition)
OWNER = "mail/prod"
_GUID = "6f0a3c1e-0000-4000-8000-000000000001"


@functools.cache
def change_sets(seed: int) -> tuple[tuple[ResourceType[Any], ChangeSet], ...]:
    """Change sets of each type, the same for a seed. Each changes one object; creations, updates and deletes are there.

    Made when a test asks for them, never while tests are collected: each worker would wait for them.
    """
    drawn = ((kind, random.Random(f"{seed}/{kind.name}")) for kind in CHANGING)
    found = ((kind, _change_set(kind, draw)) for kind, draw in drawn for _ in range(80 if whole() else 16))
    return tuple((kind, changes) for kind, changes in found if changes.pending)


def _change_set(kind: ResourceType[Any], draw: random.Random) -> ChangeSet:
    wanted, live = _OBJECTS.get(kind.name, _columns(kind))(draw)
    address = Address(kind.name, _key(wanted))
    creates = kind.creatable and draw.random() < 0.3
    deletes = kind.deletable and not creates and draw.random() < 0.3
    seen = Observed({address: Absent() if creates else Present(live)})
    declared = {} if deletes else {address: Resource(address, wanted)}
    absent = {address: None} if deletes else {}
    return planning.plan(Desired("contoso.onmicrosoft.com", OWNER, declared, absent=absent), seen, TYPES)


def _key(spec: Any) -> str:
    return str(getattr(spec, dataclasses.fields(spec)[0].name))


Objects = Callable[[random.Random], tuple[Any, Any]]
"""Draws what is declared and what is live, under one key."""


def _smtp_auth(draw: random.Random) -> tuple[Any, Any]:
    key = draw.choice(["organization", "erp@contoso.com"])
    words = ["enabled", "disabled"] if key == "organization" else ["enabled", "disabled", "inherit"]
    primary = None if key == "organization" else draw.choice([key, "erp.primary@contoso.com"])
    return SmtpAuth(key, draw.choice(words)), SmtpAuth(key, draw.choice(words), primary)


def _policy_assignment(draw: random.Random) -> tuple[Any, Any]:
    key = draw.choice(["organization", "erp@contoso.com"])
    words = ["none" if key == "organization" else "inherit", "devices-basic", "Block Basic"]
    wanted, live = draw.sample(words, 2)
    effect = draw.choice(["allowed", "blocked", "unknown"])
    return PolicyAssignment(key, wanted), PolicyAssignment(key, live, effect, None if key == "organization" else key)


def _send_as(draw: random.Random) -> tuple[Any, Any]:
    right = pair_of(draw.choice(["erp@contoso.com", "o'neil@contoso.com"]), "invoices@contoso.com")
    return right, dataclasses.replace(right, trustee_id=draw.choice([None, _GUID]))


def _dkim(draw: random.Random) -> tuple[Any, Any]:
    wanted, live = _columns(next(t for t in TYPES if t.name == "dkim"))(draw)
    targets = {"selector1_cname": "s1.contoso.example", "selector2_cname": "s2.contoso.example"}
    return (
        dataclasses.replace(wanted, domain="contoso.com"),
        Dkim(**{f.name: getattr(live, f.name) for f in dataclasses.fields(live)} | {"domain": "contoso.com"} | targets),
    )


def _dns_record(draw: random.Random) -> tuple[Any, Any]:
    """What is published already, and what is to be: records of one purpose, values of any text."""
    purpose = draw.choice(["spf", "dmarc", "dkim-selector1"])
    texts = ["v=spf1 -all", "v=DMARC1; p=none; rua=mailto:o'neil@contoso.com", 'x " y & <b>']
    values = {
        "spf": ["v=spf1 include:spf.protection.outlook.com -all", *texts],
        "dmarc": ["v=DMARC1; p=reject", *texts],
        "dkim-selector1": ["s1.contoso.example", "s1.old.example"],
    }
    one, other = draw.sample(values[purpose], 2)
    wanted = DnsRecord(f"contoso.com/{purpose}", frozenset({one}), provider=draw.choice([None, "corp-dns"]))
    wanted = dataclasses.replace(wanted, zone="contoso.com", owner="contoso.com")
    return wanted, dataclasses.replace(wanted, values=frozenset({other}))


_OBJECTS: dict[str, Objects] = {
    "dns_record": _dns_record,
    "smtp_auth": _smtp_auth,
    "authentication_policy_assignment": _policy_assignment,
    "send_as": _send_as,
    "dkim": _dkim,
}


def _columns(kind: ResourceType[Any]) -> Objects:
    """Objects of a type whose fields are all declared: what is declared has some of them, what is live all."""

    def drawn(draw: random.Random) -> tuple[Any, Any]:
        declared = {n: c for n, c in fields.columns(kind.spec).items() if c.written}
        key = kind.singletons[0] if kind.singletons else draw.choice(["hq", "HQ scanners", "50% `x` \"y\" 'z' & <b>"])
        more = {"owner": OWNER, "source": "default"} if kind.marks_ownership else {}
        live = {n: _value(c.form, draw) for n, c in declared.items()}
        some = {n: _value(c.form, draw) for n, c in declared.items() if draw.random() < 0.5}
        wanted = kind.spec(key, **some, **({"owner": OWNER} if kind.marks_ownership else {}))
        return wanted, kind.spec(key, **live, **more)

    return drawn


def _hve_account(draw: random.Random) -> tuple[Any, Any]:
    """A creation names its password, and what the tenant shows has none."""
    wanted, live = _columns(next(t for t in TYPES if t.name == "hve_account"))(draw)
    key, more = "hr-news@contoso.com", {"id": _GUID, "billing": draw.choice([None, " NoProperBillingPolicyStored"])}
    return (
        dataclasses.replace(wanted, address=key, password="env:HVE_PASSWORD"),
        dataclasses.replace(live, address=key, password=None, **more),
    )


_OBJECTS["hve_account"] = _hve_account


def _mailbox_selection(draw: random.Random) -> tuple[Any, Any]:
    """Switches of selected mailboxes, as they are and as they are to be."""
    wanted, live = draw.sample(["enabled", "disabled", "inherit"], 2)
    spec = MailboxSelection("printers", wanted, type="shared")
    mailboxes = ("erp@contoso.com", "o'neil@contoso.com")
    states = {word: frozenset(f"{mailbox} {word}" for mailbox in mailboxes) for word in (wanted, live)}
    there = dataclasses.replace(spec, mailboxes=states[live], live=states[live])
    return dataclasses.replace(spec, mailboxes=states[wanted]), there


_OBJECTS["mailbox_selection"] = _mailbox_selection


def _value(form: fields.Form, draw: random.Random) -> Any:
    """A canonical value of a form."""
    if isinstance(form, fields.Boolean):
        return draw.random() < 0.5
    if isinstance(form, fields.Words):
        return draw.choice([word for word in form.wire if word is not None])
    if isinstance(form, fields.Texts):
        return frozenset(_text(form.item, draw) for _ in range(draw.randint(1 if form.needs_one else 0, 3)))
    if isinstance(form, fields.Reference):
        return "env:PASSWORD"
    if isinstance(form, fields.Tristate):
        return draw.choice([*form.words.values()])
    if isinstance(form, fields.Number):
        return draw.randint(form.least, form.most)
    if get_origin(form.schema) is Literal:
        return draw.choice(get_args(form.schema))
    assert isinstance(form, fields.Text)
    return _text(form, draw)


def _text(form: fields.Text, draw: random.Random) -> str:
    choices = (
        *form.examples,
        _GUID,
        f"81.2.69.{draw.randint(1, 254)}",
        "mail.contoso.com",
        "a@contoso.com",
        "text, with words",
    )
    for text in draw.sample(choices, len(choices)):
        try:
            return form.canonical(text)
        except ValueError:
            continue
    raise AssertionError(f"no example of {form.values}")
