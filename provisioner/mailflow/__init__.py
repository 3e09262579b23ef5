"""How Exchange decides about mail, in canonical objects. Pure.

`picture` collects what the objects of a tenant contribute, as they are and as the changes leave them. `deciding` says
what becomes of one attempt to send, `submission` of one that signs in, `flow_rules` what transport rules do to mail
that was taken, `outbound_policies` how much a mailbox may send; `asking` what has to be read for that.
`consequences` says what a change opens and closes, and for whom (`senders`), `promises` what a plan promises to senders
and what of it is not in force, `describing` what one object does in a few words. Rules, `explain`, `doctor` and
`diagnose` ask here; nothing else knows why Exchange accepts or refuses, and nothing here knows a resource type by its
class.
"""

from provisioner.mailflow.attempt import Attempt, Decision
from provisioner.mailflow.consequences import compared, consequences, effects, reach, reaches
from provisioner.mailflow.deciding import Naming, decide, naming
from provisioner.mailflow.describing import described
from provisioner.mailflow.picture import contributions
from provisioner.mailflow.submission import sign_in

__all__ = [
    "Attempt",
    "Decision",
    "Naming",
    "compared",
    "consequences",
    "contributions",
    "decide",
    "described",
    "effects",
    "naming",
    "reach",
    "reaches",
    "sign_in",
]
