"""Clients that we did not write, against the sandbox: each is set up by its own documented settings and nothing else.

What they get is what `provisioner sandbox environment` prints. `scripts/foreign-clients` runs them all and prints what
worked; the cheap ones are in the suite too (test_clients.py). A client that is missing is skipped with the reason.
"""
