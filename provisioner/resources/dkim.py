"""DKIM signing of a domain: the configuration that Exchange holds, and the way to switch it on.

To switch it on: create it disabled, publish the two CNAMEs that Exchange returned (their targets cannot be computed),
wait for DNS, enable. A run that ends waiting is gone on with by the next plan, from the row that is there by then.
Keys are never rotated from a difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from provisioner.diagnostics import Severity
from provisioner.model import (
    Address,
    Advice,
    Answer,
    Await,
    Cmdlet,
    Declared,
    Guard,
    Parameter,
    Query,
    Record,
    Ref,
    Row,
    Rule,
    Send,
    Step,
    Unknown,
)
from provisioner.model.clouds import COEXISTENCE_SUFFIXES, INITIAL_SUFFIXES
from provisioner.model.picture import Contribution, Contributions, Signature
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import DomainKey, answered, by_name, domain_name, lenient
from provisioner.resources.fields import BOOLEAN, Text, Words, column

_CANONICALIZATION = Words({"relaxed": "Relaxed", "simple": "Simple"})
_TARGET = Text(lambda target: target.removesuffix("."), "host name", empty=None)
_WEAK_KEY_SIZE = 1024

# Said by New- and Set-DkimSigningConfig while the service does not see the records (a wait of minutes to four days).
_CNAME_MISSING = ("CNAME record does not exist for this config",)

_STRONGER_KEY = (
    "leave key_size out of the plan, which makes a new domain's keys 2048 bits; those of an enabled domain are changed "
    "by provisioner dkim rotate, twice, four days apart"
)


@dataclass(frozen=True, slots=True)
class Dkim:
    """`key_size` is the smaller of the two selectors' keys. The targets of the CNAMEs are only ever observed."""

    domain: str
    enabled: bool | None = column(
        "Enabled",
        BOOLEAN,
        "Sign mail from this domain. Needs two CNAMEs in DNS, which the plan names and waits for.",
        sent=False,
    )
    key_size: int | None = column(
        "KeySize",
        Words({1024: 1024, 2048: 2048}),
        "Bits of the keys, at creation only; 2048 where it is not written. Later: rotate by hand.",
        sent=2048,
        cmdlets=("New",),
    )
    header_canonicalization: str | None = column(
        "HeaderCanonicalization",
        _CANONICALIZATION,
        "How much a relay may reformat headers; relaxed at creation.",
        default="relaxed",
    )
    body_canonicalization: str | None = column(
        "BodyCanonicalization",
        _CANONICALIZATION,
        "How much a relay may reformat the body; relaxed at creation.",
        default="relaxed",
    )
    selector1_cname: str | None = column("Selector1CNAME", _TARGET, cmdlets=())
    selector2_cname: str | None = column("Selector2CNAME", _TARGET, cmdlets=())

    @property
    def targets(self) -> Mapping[str, str]:
        """The target of each selector's CNAME, as Exchange named it; "" where it did not."""
        return {"selector1": self.selector1_cname or "", "selector2": self.selector2_cname or ""}


_COLUMNS = fields.wire_names(Dkim) | {
    "Domain", "Name", "Identity", "Guid", "Selector1KeySize", "Selector2KeySize"
}  # fmt: skip
_DESCRIPTION = "DKIM of one domain. What is not written is left as it is."


class DkimType(BaseType):
    """dkim["contoso.com"]. Absent is expressed by `enabled: false`: removing would drop the keys and their targets."""

    name: ClassVar[str] = "dkim"
    section: ClassVar[str] = "dkim"
    section_type: ClassVar[Any] = fields.section(
        DomainKey,
        fields.entry(Dkim, "DkimBody", _DESCRIPTION),
        "DKIM signing, by domain.",
        {"contoso.com": {"enabled": True, "key_size": 2048}},
    )
    spec: ClassVar[type[Dkim]] = Dkim
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Signature,)
    deletable: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "DKIM-COEXISTENCE",
            Severity.ERROR,
            "apply",
            "The coexistence domain would sign with a key that is not in DNS.",
        ),
        Rule("DKIM-ROTATE-DNS", Severity.ERROR, "apply", "The selector that gets the new key is not published in DNS."),
        Rule("DKIM-ROTATING", Severity.ERROR, "precondition", "The keys of the domain are being rotated already."),
        Rule("DKIM-KEY-1024", Severity.WARNING, "", "A DKIM key of 1024 bits is weak."),
    )

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for written, body in section.items():
            key = domain_name(written)
            yield Declared(key, fields.declared(Dkim, key, body), (written,))

    def queries(self, wanted: Mapping[str, Dkim | None], everything: bool) -> Sequence[Query]:
        """One listing: there are few, and a lookup of an unknown domain may return all of them anyway."""
        if not wanted and not everything:
            return ()
        return (Query(Cmdlet("Get-DkimSigningConfig", columns=_COLUMNS), frozenset(wanted)),)

    def decode(
        self, wanted: Mapping[str, Dkim | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, Dkim | Unknown]:
        keys = {_form(key): key for key in wanted}
        seen: dict[str, Dkim | Unknown] = {}
        rows = (row for _, answer in answers for row in answer.rows)
        for form, row in by_name(rows, _form, "Domain", "Name", "Identity").items():
            key = keys.get(form, form)
            seen[key] = row if isinstance(row, Unknown) else answered(wanted.get(key), _decode(key, row))
        return seen

    def steps(self, before: Dkim | None, after: Dkim | None) -> Sequence[Step]:
        if after is None:
            return (_set(before.domain, Enabled=False),) if before and before.enabled else ()
        return _create(self.completed(after)) if before is None else _update(before, after)

    def completed(self, spec: Dkim) -> Dkim:
        """New-DkimSigningConfig requires Enabled, and alone it would make keys of 1024 bits (its page, -KeySize)."""
        return fields.completed(spec)

    def needs(self, spec: Dkim) -> Sequence[Address]:
        """The domain must be accepted before it can sign."""
        return (Address("domain", spec.domain),)

    def written_form(self, spec: Dkim) -> tuple[tuple[str, ...], Any] | None:
        """The coexistence domain is not for a plan. Of keys, only those weaker than our own creation's are written."""
        if spec.domain.endswith(COEXISTENCE_SUFFIXES):
            return None
        body = {"enabled": bool(spec.enabled), **fields.written_body(spec)}
        return (spec.domain,), {n: v for n, v in body.items() if n != "key_size" or v == _WEAK_KEY_SIZE}

    def mail_domains(self, spec: Dkim, /) -> Collection[str]:
        """The domain that signs, or is not to."""
        return (spec.domain,)

    def contribution(self, spec: Dkim) -> Contributions:
        """That mail of the domain is signed; a disabled configuration signs nothing."""
        return (
            (Signature(spec.domain, (spec.selector1_cname or "", spec.selector2_cname or "")),) if spec.enabled else ()
        )

    def guards(self, _before: Dkim | None, _after: Dkim | None, /) -> Iterable[Guard]:
        return ()

    def lint(self, spec: Dkim) -> Iterable[Advice]:
        if spec.key_size == _WEAK_KEY_SIZE:
            yield Advice("DKIM-KEY-1024", "a key of 1024 bits is weak", _STRONGER_KEY, "key_size")
        if spec.domain.endswith(COEXISTENCE_SUFFIXES) and spec.enabled:
            summary = "nobody can publish its CNAMEs, so that receivers find no key and the signature fails"
            yield Advice("DKIM-COEXISTENCE", summary, "take it out; the coexistence domain sends no mail", "enabled")

    def in_force(self, _wanted: Dkim, _live: Dkim, /) -> str:
        """No sending path depends on signing."""
        return ""


_form = lenient(domain_name)


def _create(after: Dkim) -> Sequence[Step]:
    """New takes Enabled as mandatory; with true before DNS its outcome is not documented, so always false."""
    parameters = {"DomainName": after.domain, **fields.creation(after), "Enabled": False}
    new = Send(Cmdlet("New-DkimSigningConfig", parameters))
    if not after.enabled:
        return (new,)
    return (new, *_enable(after.domain, Ref(0, "Selector1CNAME"), Ref(0, "Selector2CNAME")))


def _update(before: Dkim, after: Dkim) -> Sequence[Step]:
    others = {name: value for name, value in fields.changes(before, after).items() if name != "Enabled"}
    if after.enabled is None or after.enabled == before.enabled:
        return (_set(after.domain, **others),) if others else ()
    if not after.enabled:
        return (_set(after.domain, Enabled=False, **others),)
    # What does not depend on DNS goes first, so that it is not held up by the waiting.
    first = (_set(after.domain, **others),) if others else ()
    return (*first, *_enable(after.domain, before.selector1_cname, before.selector2_cname))


def _enable(domain: str, target1: str | Ref | None, target2: str | Ref | None) -> Sequence[Step]:
    enable = Send(Cmdlet("Set-DkimSigningConfig", {"Identity": domain, "Enabled": True}), waits_on=_CNAME_MISSING)
    # Microsoft signs for the initial domains without these CNAMEs.
    if not target1 or not target2 or domain.endswith(INITIAL_SUFFIXES):
        return (enable,)
    return (
        Await(
            (
                Record(f"selector1._domainkey.{domain}", "CNAME", target1),
                Record(f"selector2._domainkey.{domain}", "CNAME", target2),
            )
        ),
        enable,
    )


def _set(domain: str, **parameters: Parameter) -> Send:
    return Send(Cmdlet("Set-DkimSigningConfig", {"Identity": domain, **parameters}))


def _decode(key: str, row: Row) -> Dkim:
    sizes = [row.get("Selector1KeySize"), row.get("Selector2KeySize")]
    known = [size for size in sizes if isinstance(size, int) and size > 0]
    return Dkim(key, **{**fields.decoded(Dkim, row), "key_size": min(known, default=None)})
