"""What is told of a world. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.model import Observed


@dataclass(frozen=True, slots=True)
class Told:
    """One finding or mistake with its advice. `about` is what it is about, `stops` whether something is refused."""

    rule: str
    about: str
    summary: str
    hint: str
    stops: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.about


@dataclass(frozen=True, slots=True)
class Said:
    """Everything that is told of a world; `observed` is None where the plan was not read."""

    told: tuple[Told, ...]
    observed: Observed | None = None
