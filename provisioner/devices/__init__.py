"""A device -> a sending method -> the resources that it takes, and what to type into it. Pure.

`choose` weighs the methods, `expand` adds what the chosen ones take to a plan, `attempts` are the messages that
`mailflow` decides about, `way` says how a device has to be set, `sheet` and `report` tell people, `remedy` what fixes
a refusal.
"""

from provisioner.devices.afterwards import afterwards
from provisioner.devices.attempts import at_mx, attempts, signs_in_as_application
from provisioner.devices.choice import NAMES, Facts, choose, facts_of
from provisioner.devices.expansion import egress, expand, lost, odd_sources, worked_out_for
from provisioner.devices.remedy import Remedy, remedy
from provisioner.devices.sheet import report, sheet, summary
from provisioner.devices.way import Way, device_of, way, way_of

__all__ = [
    "NAMES",
    "Facts",
    "Remedy",
    "Way",
    "afterwards",
    "at_mx",
    "attempts",
    "choose",
    "device_of",
    "egress",
    "expand",
    "facts_of",
    "lost",
    "odd_sources",
    "remedy",
    "report",
    "sheet",
    "signs_in_as_application",
    "summary",
    "way",
    "way_of",
    "worked_out_for",
]
