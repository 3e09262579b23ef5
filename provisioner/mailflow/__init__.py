"""How Exchange decides about mail, in canonical objects: which switches let a mailbox sign in. Pure.

Consequences, rules, `explain`, `doctor` and `diagnose` ask here; nothing else knows why Exchange accepts or refuses.
"""
