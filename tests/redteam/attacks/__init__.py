"""What an attacker puts where: each attack makes one thing hostile in a fresh world. `all_attacks` gives every one.

The faults of trust that the project has had come first in each kind, then variations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tests.redteam.attacks import checkout, fleets, inventories, kept, places, plans, servers, settings
from tests.redteam.attacks.base import Attack, Made

_KINDS: Mapping[str, Callable[[], Made]] = {
    "git and programs": checkout.repositories,
    "includes and links": checkout.includes,
    "text of a plan": plans.plan_texts,
    "variables": plans.variables,
    "tests of plans": plans.plan_tests,
    "settings": settings.settings_files,
    "sandbox's folder": places.sandbox_folders,
    "places to write to": places.outputs,
    "change sets": kept.change_sets,
    "inventories": inventories.inventories,
    "journals": kept.journals,
    "locks": kept.locks,
    "fleets": fleets.fleets,
    "servers": servers.servers,
    "records of domains": servers.domains,
    "files handed over": places.handed_over,
}


def all_attacks() -> Iterator[Attack]:
    """Every attack, kind by kind."""
    for kind, made in _KINDS.items():
        for name, make, *more in made():
            yield Attack(kind, name, make, **(more[0] if more else {}))
