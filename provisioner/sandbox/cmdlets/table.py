"""A cmdlet as a row of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, get, remove
from provisioner.sandbox.cmdlets.parameters import Parameter, identity


@dataclass(frozen=True, slots=True)
class Cmdlet:
    """Name, parameters besides the common ones, and what it does with a bound call. `run` raises CmdletError."""

    name: str
    parameters: tuple[Parameter, ...]
    run: Callable[[Call], Rows]

    @property
    def writes(self) -> bool:
        """Whether it may change the tenant."""
        return not self.name.startswith(("Get-", "Test-"))


def get_cmdlet(noun: Noun, *parameters: Parameter) -> Cmdlet:
    """`Get-<noun>` as all nouns have it."""
    return Cmdlet(f"Get-{noun.name}", (identity(required=False), *parameters), lambda call: get(call, noun))


def remove_cmdlet(noun: Noun) -> Cmdlet:
    """`Remove-<noun>` as all nouns have it."""
    return Cmdlet(f"Remove-{noun.name}", (identity(),), lambda call: remove(call, noun))
