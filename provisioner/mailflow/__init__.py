"""How Exchange decides about mail, in canonical objects. Pure.

`picture` collects what the objects of a tenant contribute, as they are and as the changes leave them. `deciding` says
what becomes of one attempt to send, `verdict` which switches let a mailbox sign in, `consequences` what a change opens
and closes, and for whom (`senders`), `promises` what a plan promises to senders and what of it is not in force,
`describing` what one object does in a few words. Rules, `explain`, `doctor` and `diagnose` ask here;
nothing else knows why Exchange accepts or refuses, and nothing here knows a resource type by its class.
"""

from provisioner.mailflow.consequences import compared, consequences, effects, reach
from provisioner.mailflow.describing import described
from provisioner.mailflow.picture import contributions

__all__ = ["compared", "consequences", "contributions", "described", "effects", "reach"]
