"""Which lives are lived, and how they ended: fault × kind of request × kind of change."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner.engine import OPENINGS
from tests.engine.lifecycle.checking import Wrong
from tests.engine.lifecycle.faults import FAULTS, Scripted
from tests.engine.lifecycle.port import Passage
from tests.engine.lifecycle.running import Life, quick_journals
from tests.engine.lifecycle.scenes import KINDS, Scene, closes, scene


@dataclass(frozen=True, slots=True)
class Lot:
    """One life to live: a scene, and a fault at one of its requests, whose kind is `label`."""

    kind: str
    variant: int
    fault: str
    label: str
    at: int

    def __str__(self) -> str:
        return f"{self.kind}, variant {self.variant}: {self.fault} at {self.label}, request {self.at}"


_BY_NAME = {fault.name: fault for fault in FAULTS}


def lots(kind: str, variant: int, folder: Path) -> Iterator[Lot]:
    """The lives of one scene: every fault at one request of each kind of request that a sound run makes for its change.

    Which of several equal requests it is, is drawn: over the variants all have their turn.
    """
    around = scene(kind, variant, folder)
    sound = Life(around, folder)
    told = sound.live()
    yield Lot(kind, variant, "none", told, -1)
    if any(passage.writes for passage in sound.service.log):
        yield Lot(kind, variant, "changed by another", "", -1)
    random_ = random.Random(f"{kind} {variant} lots")
    by_label: dict[str, list[int]] = defaultdict(list)
    for passage in sound.service.log:
        if _belongs(passage, around):
            by_label[passage.purpose].append(passage.number)
    for label, numbers in sorted(by_label.items()):
        for fault in FAULTS:
            suited = [n for n in numbers if fault.suits(sound.service.log[n].request)]
            if suited:
                yield Lot(kind, variant, fault.name, label, random_.choice(suited))


def _belongs(passage: Passage, around: Scene) -> bool:
    """Whether a request is one that the scene's own change calls for; reads to plan and to check are for all."""
    if passage.purpose == "DNS":
        return "DNS" in around.kind
    if passage.purpose == OPENINGS:
        return closes(around.kind)
    return passage.address is None or around.is_about(passage.address)


def lived(lot: Lot, folder: Path) -> str:
    """How a life ended. Raises Wrong."""
    fault: Scripted | None = _BY_NAME.get(lot.fault)
    return Life(scene(lot.kind, lot.variant, folder), folder, fault, lot.at).live()


@dataclass
class Table:
    """Lives by fault, kind of request and kind of change, and the wrong ones."""

    cells: dict[tuple[str, str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def live(self, chosen: Iterable[Lot], folder: Path, most_wrong: int = 10) -> None:
        """Live them all, or until so many were wrong."""
        with quick_journals():
            for lot in chosen:
                try:
                    told = lived(lot, folder)
                except Wrong as wrong:
                    told = "WRONG"
                    self.wrong.append((str(lot), str(wrong)))
                self.cells[lot.fault, lot.label if lot.fault != "none" else "", lot.kind][told] += 1
                if len(self.wrong) >= most_wrong:
                    return

    def add(self, other: Table) -> None:
        for key, counts in other.cells.items():
            self.cells[key].update(counts)
        self.wrong += other.wrong

    def to_json(self) -> dict[str, Any]:
        """The table as a document, for `of_json`."""
        return {"cells": [[*key, counts] for key, counts in self.cells.items()], "wrong": self.wrong}

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Table:
        table = cls(wrong=[(lot, words) for lot, words in document["wrong"]])
        table.cells.update({(fault, label, kind): Counter(n) for fault, label, kind, n in document["cells"]})
        return table

    @property
    def lives(self) -> int:
        return sum(sum(counts.values()) for counts in self.cells.values())

    def fewest(self) -> int:
        """The lives of the emptiest cell."""
        return min(sum(counts.values()) for (fault, _, _), counts in self.cells.items() if fault != "none")

    def report(self) -> Sequence[str]:
        """The table, its size, and every life that was wrong."""
        size = f"{self.lives:,} lives in {len(self.cells):,} cells, at least {self.fewest()} in each"
        wrong = [f"WRONG {lot}: {words}" for lot, words in self.wrong]
        return [*self.lines(), f"{size}; {len(wrong)} wrong", *wrong]

    def lines(self) -> Sequence[str]:
        """The table for a person: each fault and kind of request, over all kinds of change, and then each cell."""
        rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        kinds: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for (fault, label, kind), counts in self.cells.items():
            rows[fault, label].update(counts)
            kinds[fault, label][kind] = sum(counts.values())
        found = []
        for (fault, label), counts in sorted(rows.items()):
            sizes = kinds[fault, label].values()
            outcomes = ", ".join(f"{told} {count:,}" for told, count in counts.most_common(6))
            found.append(
                f"{fault:<30} {label:<14} {sum(sizes):>6,} lives, {len(sizes):>2} kinds of change, "
                f"{min(sizes):>3} to {max(sizes):>4} each: {outcomes}"
            )
        return found


def everything(variants: Iterable[int], folder: Path, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Lot]:
    """The lives of these variants of every kind of change."""
    for variant in variants:
        for kind in kinds:
            with quick_journals():
                chosen = list(lots(kind, variant, folder))
            yield from chosen


def filled(kind: str, least: int, folder: Path, most_variants: int = 200) -> Iterator[Lot]:
    """The lives of one kind of change, until every cell has so many."""
    counts: Counter[tuple[str, str]] = Counter()
    for variant in range(most_variants):
        for lot in everything([variant], folder, [kind]):
            cell = (lot.fault, lot.label)
            if lot.fault != "none" and counts[cell] >= least:
                continue
            counts[cell] += 1
            yield lot
        if variant >= least and all(count >= least for cell, count in counts.items() if cell[0] != "none"):
            return
