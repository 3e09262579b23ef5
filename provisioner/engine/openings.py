"""Open before you close: what a closing change has to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from provisioner import mailflow
from provisioner.changes import planning
from provisioner.engine.comparing import standing_of
from provisioner.engine.events import ALREADY, DONE, OPENINGS
from provisioner.engine.run import Run
from provisioner.model import Action, Address, Change, Effect, Observation, goal_of


class Openings:
    """Open before you close: what must be in force in the tenant before a change that closes a sending path is sent.

    That is every declared object that opens one, changed by this run or not: the run may be a later one, in which what
    opens needs no change and has no effect all the same. The tenant is read once for each stage, just before it.
    """

    def __init__(self, run: Run, changes: Sequence[Change], unchanged: Sequence[Change]) -> None:
        self._run = run
        self._stages = planning.stages(changes)
        self._changes = [c for c in changes if c.after is not None and self._opens(c)]
        self._unchanged = [c for c in unchanged if c.after is not None and self._opens(c)]
        self._looks: dict[planning.Stage, asyncio.Task[list[str]]] = {}

    def _opens(self, change: Change) -> bool:
        """Whether a change opens a sending path; of an unchanged object, whether it is one or is meant to be."""
        kind, goal = self._run.kind(change.address), goal_of(change)
        if change.action is not Action.NO_OP:
            return Effect.OPENS in mailflow.effects(kind, change.observed, goal)
        return Effect.OPENS in mailflow.effects(kind, None, goal) or bool(kind.in_force(change.after, goal))

    async def missing(self, address: Address) -> Sequence[str]:
        """What this change has to wait for and why, each in words; nothing where it may be sent."""
        stage = self._stages[address]
        if stage is planning.Stage.FREE:
            return ()
        if stage not in self._looks:
            self._looks[stage] = asyncio.create_task(self._look(stage))
        return await self._looks[stage]

    async def _look(self, stage: planning.Stage) -> list[str]:
        before = [c for c in self._changes if self._stages[c.address] < stage]
        for change in before:
            await self._run.ended[change.address].wait()
        needed = [*before, *self._unchanged]
        observed = await self._run.look(needed, OPENINGS)
        found = ((c.address, self._lack(c, observed[c.address])) for c in needed)
        return [f"{address} ({reason})" for address, reason in found if reason]

    def _lack(self, change: Change, observation: Observation) -> str:
        result = self._run.results.get(change.address)
        if result and result.status not in {DONE, ALREADY}:
            words = result.status.replace("_", " ")
            return f"{words}: {result.detail}" if result.detail else words
        state, words = standing_of(change, observation)
        if state != "after":
            return words
        return self._run.idle(change, observation)
