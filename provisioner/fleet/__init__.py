"""Many tenants in one run: `fleet.yaml`, a durable engine (DBOS) that carries a run across crashes, one report.

What is done to one tenant is what `operations` does for a single one; nothing of it is written again here. The store
and the files beside it hold names, ids, digests, change sets and outcomes, never settings: each worker reads those
where it runs.
"""
