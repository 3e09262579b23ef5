"""Nobody is cut off in between: generated tenants and plans, a fault at a write, and the sandbox's own mail rules.

`worlds` generates a tenant, a plan and everybody who may send, `topics` what they hold of one type; `sending` says who
can, by the sandbox's rules (`attempts`); `living` goes from one to the other over the harness's port
(tests/engine/lifecycle) and asks after every request. A sender that can send before and after the whole change set must
be able to send all the time. `python -m tests.engine.cut_off` lives 1,000 lives and prints the counts.
"""
