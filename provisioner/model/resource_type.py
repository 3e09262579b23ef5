"""The protocol of a resource type, and what a type tells: rules, guards, advice."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from provisioner.diagnostics import Severity
from provisioner.model.addresses import Address
from provisioner.model.desired import Declared
from provisioner.model.names import caseless
from provisioner.model.observations import Absent, S, Unknown
from provisioner.model.picture import Contribution, Contributions
from provisioner.model.requests import Answer, Query
from provisioner.model.steps import ReadBack, Step


class Effect(enum.StrEnum):
    """What a change does to sending paths: mail that was refused is accepted afterwards, or the other way round."""

    OPENS = "opens"
    CLOSES = "closes"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by its stable id. `blocks` as in `Finding.blocks`; a rule that blocks nothing is only shown.

    Or "change": apply holds single changes back (exit 8), by what the tenant has just before each.
    """

    id: str
    severity: Severity
    blocks: str
    sentence: str

    @property
    def waivable(self) -> bool:
        """A precondition is a fact of the tenant, a contradiction one of the plan: they are fixed, not waived."""
        return self.blocks != "precondition" and self.id != "ABSENT-DECLARED"

    @property
    def waivable_in_plan(self) -> bool:
        """What holds a change back is judged in the moment: it is allowed for one run, on the command line."""
        return self.waivable and self.blocks != "change"


@dataclass(frozen=True, slots=True)
class Guard:
    """A danger of one change: the rule that names it, what it does to mail, and what to look at before allowing it."""

    rule: str
    summary: str
    hint: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What a declared object should say otherwise: the rule that names it, what is wrong, how to fix it, which field.

    The summary begins without the object's address. `field` is the written field that it is about, "" for the object.
    `unwritten` are fields that it says are not written: where one is, with a mistake of its own, it says nothing.
    """

    rule: str
    summary: str
    hint: str
    field: str = ""
    unwritten: tuple[str, ...] = ()


class Undeclared(enum.StrEnum):
    """What becomes of an object that is there and not declared."""

    KEEP = "keep"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Links:
    """The objects that declared ones may need, by address: those of the plan, and others of the tenant.

    Keys are compared without case, as Exchange compares names. `present` are those of the plan that the tenant has;
    nothing, as long as it was not read.
    """

    declared: Mapping[Address, Any]
    others: Mapping[Address, Any] = field(default_factory=dict)
    present: frozenset[Address] = frozenset()
    _by_form: Mapping[tuple[str, str], Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_form = {(a.type, caseless(a.key)): a for a in self.declared}
        object.__setattr__(self, "_by_form", by_form)

    def spelled(self, address: Address) -> Address:
        """The address as the plan declares it; as it is where the plan does not."""
        found: Address = self._by_form.get((address.type, caseless(address.key)), address)
        return found

    def object(self, address: Address) -> Any | None:
        """The object of a spelled address as it is planned, or as the tenant has it; None where nobody knows it."""
        return self.declared.get(address) or self.others.get(address)


class ResourceType(Protocol[S]):
    """Everything that the tool knows about one kind of object; pure, one file each in `resources/`.

    `S` is a frozen dataclass in canonical form: words for tri-states, frozensets for unordered lists, "" for "none";
    a field that is None was not written (desired) or not returned (observed). Field metadata `create_only=True` marks
    what only creation can set: a later difference is told in a finding and never planned. `half_way` are values that
    the service itself gives a field between two writes of one change: a run that was cut off there goes on.
    """

    @property
    def name(self) -> str:
        """The type in addresses: `inbound_connector`."""

    @property
    def section(self) -> str:
        """The key of the plan's section: `inbound_connectors`."""

    @property
    def section_type(self) -> Any:
        """What pydantic validates the section against; the JSON Schema comes from it too."""

    @property
    def spec(self) -> type[S]:
        """The canonical dataclass."""

    @property
    def creatable(self) -> bool:
        """False when the object lives and dies with something else: absent is then a finding, not a create."""

    @property
    def deletable(self) -> bool:
        """False when `absent:` makes no sense for it."""

    @property
    def built_in(self) -> frozenset[str]:
        """Keys of objects that every tenant has and nobody can delete, although others of the type can be."""

    @property
    def key_form(self) -> str:
        """How a key of two names is written, with the word between them: `TRUSTEE as SENDER`; "" for one name."""

    @property
    def revocable(self) -> bool:
        """True when the rollback of a run deletes what the run created, although no plan may list it as absent."""

    @property
    def precondition(self) -> bool:
        """True when a difference is a finding and never a change."""

    @property
    def marks_ownership(self) -> bool:
        """True when its objects carry the plan's ownership mark, so that undeclared ones of ours can be told."""

    def declare(self, section: Any, owner: str, /) -> Iterable[Declared]:
        """The objects that a validated section declares, with the plan's ownership mark where the type carries one."""

    def exclusive(self, section: Any, /) -> bool:
        """Whether the section claims every object of its type."""

    def queries(self, wanted: Mapping[str, S | None], everything: bool, /) -> Sequence[Query]:
        """The reads for ALL wanted objects at once; `everything` when undeclared ones matter too.

        A value of None is a tombstone: only its presence matters.
        """

    def decode(
        self, wanted: Mapping[str, S | None], answers: Sequence[tuple[Query, Answer]], /
    ) -> Mapping[str, S | Absent | Unknown]:
        """Rows of the queries that succeeded -> canonical objects by key, tolerant of unknown columns.

        A wanted object comes back under its wanted key, in whatever spelling that was. What is left out is absent.
        """

    def follow_up(
        self, wanted: Mapping[str, S | None], everything: bool, answers: Sequence[tuple[Query, Answer]], /
    ) -> Sequence[Query]:
        """The reads that the answers so far call for, to resolve names and to read by id what a name means.

        Called again after its own were answered, and not a third time; what was asked before is not asked again.
        `decode` gets all answers.
        """

    def passed_over(self, answers: Sequence[tuple[Query, Answer]], /) -> int:
        """How many undeclared objects the answers showed and did not keep, because no plan could change them."""

    def names(self, spec: S, /) -> Collection[str]:
        """Every known name of an observed object: what the patterns of a plan and of a command line may call it."""

    def undeclared(self, observed: S, owner: str, exclusive: bool, /) -> S | Undeclared:
        """What becomes of an object that is there and not declared; a spec means "bring it there"."""

    def steps(self, before: S | None, after: S | None, /) -> Sequence[Step]:
        """What turns `before` into `after`; undoing is the same with the arguments exchanged."""

    def linked(self, spec: S, links: Links, /) -> S:
        """A declared object with what follows from the objects that it needs."""

    def meant(self, spec: S, known: S | None, /) -> S:
        """A declared object with the values that follow from what was observed of it: a list that is only to contain
        what the plan writes. `known` is the live object, or what is known of one that does not exist."""

    def early(self, spec: S, /) -> Sequence[Address]:
        """Of what it needs, the objects that only have to exist, and need not be in force: it reads values of them."""

    def pending(self, spec: S, /) -> Sequence[Query]:
        """The reads that tell the values of an object that are not known while another does not exist; () for none."""

    def resolved(self, spec: S, answers: Sequence[tuple[Query, Answer]], /) -> S | None:
        """The object with its pending values; None where the answers lack them. Raises ValueError for answers
        of an unknown form."""

    def completed(self, spec: S, /) -> S:
        """A declared object with every value that its creation sends although the plan does not write it."""

    def needs(self, spec: S, /) -> Sequence[Address]:
        """What must be in place first: order among changes, and preconditions."""

    @property
    def singletons(self) -> tuple[str, ...]:
        """Keys of objects that every tenant has exactly one of, and that no listing returns."""

    @property
    def privileged(self) -> bool:
        """True when roles that read everything else do not show its objects: an export goes on without them."""

    @property
    def listed_in_parts(self) -> bool:
        """True when a listing lacks columns that `follow_up` reads object by object, for an export too."""

    @property
    def governs(self) -> str:
        """The type whose undeclared objects its objects set, "" for none: a section of both cannot be exclusive."""

    @property
    def more_nouns(self) -> frozenset[str]:
        """The nouns that its steps may write besides those that `queries` reads: HVEAppAccess has no Get."""

    def written_form(self, spec: S, /) -> tuple[tuple[str, ...], Any] | None:
        """How a plan would declare what exists: the path from the section to the entry, and its plain value.

        Defaults are left out. None where a plan has nothing to say about it: it is as it would be without one, or it is
        not ours to declare.
        """

    def contribution(self, spec: S, /) -> Contributions:
        """What the whole object adds to the sending picture; () for nothing, as of an object that is switched off.

        A field that is None is not known and is judged with caution.
        """

    @property
    def contributes(self) -> tuple[type[Contribution], ...]:
        """The words that its objects may contribute: unknown where they could not be listed."""

    def mail_domains(self, spec: S, /) -> Collection[str]:
        """The domains that a declared object has mail sent from: `dns check` looks at their mail records."""

    def guards(self, before: S | None, after: S | None, /) -> Iterable[Guard]:
        """What of this change a person must allow by name, judged on the whole objects."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that only this type mentions, in its guards and its advice. Each has a page in docs/rules/."""

    def lint(self, spec: S, /) -> Iterable[Advice]:
        """What is wrong with a declared object, whatever the tenant has."""

    def advice(self, wanted: S, live: S, /) -> Iterable[Advice]:
        """What is wrong with a declared object as it is in the tenant and stays. It never blocks."""

    def owner_of(self, spec: S, /) -> str:
        """The plan that marked the object as its own; "" for none."""

    def marked_key(self, spec: S, /) -> str:
        """The key of the object in the plan that marked it; "" where the mark does not name it."""

    def object_id(self, spec: S, /) -> str:
        """The id that an observed object keeps when it is renamed; "" where its objects cannot be renamed."""

    @property
    def remembers(self) -> bool:
        """Whether what earlier runs did to an object decides about a change of it (`remembered`)."""

    def remembered(self, deeds: Sequence[tuple[S | None, S | None]], /) -> str:
        """What is known of an object by what earlier runs did to it, oldest first, each from and to; "" for nothing."""

    def touches(self, before: S | None, after: S | None, /) -> int:
        """How many objects of the tenant a change sets; with no `before`, how many an object stands for."""

    def is_ours(self, before: S, after: S | None, remembered: str, /) -> bool:
        """Whether a change takes away only what earlier runs brought, so that its guards protect nobody."""

    def governed(self, before: S | None, after: S | None, /) -> Mapping[Address, tuple[Any, Any]]:
        """The objects of the type that it governs which a change of it set, each from and to: a rollback undoes them
        instead of the object, which is only how a plan says them."""

    def brought_back(self, before: S, after: S | None, /) -> tuple[S, str]:
        """What a rollback declares for an object that a run changed or deleted, and what of `before` that does not
        bring back, as a sentence; "" for nothing."""

    def settled(self, goal: S, live: S, /) -> bool:
        """Whether a live object needs no change to be the goal."""

    def made_by(self, spec: S, /) -> str:
        """Who made the object, such as `hybrid_wizard`; "" where the answer does not say."""

    def unwritable(self, spec: S, /) -> Iterable[str]:
        """What of an observed object no plan can say, each as a sentence for the export."""

    def identity(self, spec: S, /) -> str:
        """What the object is called whatever name it was found by: two keys with one identity are one object.

        "" where the key is its only name.
        """

    def fix(self, wanted: S, live: S | None, /) -> str:
        """What to do about a precondition that is not met, or an object that is not in force; "" for the usual.

        `live` is None for an object that does not exist.
        """

    def in_force(self, wanted: S, live: S, /) -> str:
        """Why the live object has no effect although the plan does not switch it off; "" where it is in force."""

    def leaves_off(self, before: S, after: S, /) -> bool:
        """Whether a change of an object that is switched off does not write its switch: it has no effect afterwards."""

    def read_back(self, spec: S, /) -> ReadBack | None:
        """How an administrator reads one object by hand and sees that it is in force; None where nothing tells."""

    def fits(self, spec: S, /) -> bool:
        """Whether the service can hold it at all, by its limits: what lies between two writes has more entries."""

    def working(self, live: S, /) -> S:
        """The live object as it is once what `in_force` names keeps it out of force no more."""
