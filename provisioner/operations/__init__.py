"""The use cases: what a command, a plan test or a program composes from reading, planning and applying.

Each takes a `Context` (profile, variables, clock, where to report) and knows no command line. What talks to a tenant is
a coroutine that signs in by itself, or takes a `Tenant` that is open already; `connection.run` runs one from code
without an event loop. The one composition of the plan pipeline is `planning.plan_prepared`.
"""
