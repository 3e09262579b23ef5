"""Cmdlets of the service: one parameter table and one implementation for each, behind every front."""

from __future__ import annotations

from provisioner.sandbox.cmdlets.calls import Caller, CmdletResult
from provisioner.sandbox.cmdlets.errors import CmdletError
from provisioner.sandbox.cmdlets.running import catalogue, run_cmdlet

__all__ = ["Caller", "CmdletError", "CmdletResult", "catalogue", "run_cmdlet"]
