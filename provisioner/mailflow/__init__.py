"""How Exchange decides about mail, in canonical objects. Pure.

`consequences` says what a change opens and closes, `verdict` which switches let a mailbox sign in. Rules, `explain`,
`doctor` and `diagnose` ask here; nothing else knows why Exchange accepts or refuses.
"""

from provisioner.mailflow.consequences import compared, consequences, effects, reach

__all__ = ["compared", "consequences", "effects", "reach"]
