"""A device -> a sending method -> the resources that it takes, and what to type into it. Pure.

`choose` weighs the three methods, `way` says how a device has to be set.
"""

from provisioner.devices.choice import BASIC_ENDS, Facts, choose, facts_of
from provisioner.devices.way import Way, device_of, way, way_of

__all__ = ["BASIC_ENDS", "Facts", "Way", "choose", "device_of", "facts_of", "way", "way_of"]
