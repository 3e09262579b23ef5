"""The sandbox: a local Exchange Online tenant that speaks the service's own protocols.

It shares nothing with the rest of the program, not even a constant. State is kept as the service spells it
(tenant.py), changed only by cmdlets (cmdlets/), and shown by the fronts.
"""
