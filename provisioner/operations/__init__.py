"""The use cases: what a command, a plan test or a program composes from reading, planning and applying.

Each takes a `Context` (profile, variables, clock, where to report) and knows no command line. The one composition of
the plan pipeline is `planning.make_plan`; `plan`, `apply`, `drift` and `provisioner test` all call it.
"""
