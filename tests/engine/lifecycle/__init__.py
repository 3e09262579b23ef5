"""A lifecycle harness: generated tenants and plans, a fault at every request of a run, and what must hold afterwards.

The idea is that of pulumi's lifecycle fuzzing. `scenes` generates a tenant and a plan, `port` is the sandbox's own
cmdlets behind the ports, in this process and without a socket, `faults` strikes one request, `running` goes through
plan, apply and the runs after it under a virtual clock, `checking` judges every run by the port's own log and by the
rows themselves, and `table` counts. `python -m tests.engine.lifecycle` prints the table.
"""
