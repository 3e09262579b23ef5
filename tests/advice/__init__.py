"""Advice, followed: what a finding advises is carried out on the plan or in the tenant, and the finding must be gone.

`worlds` are tenants with plans that raise the rules, `reading` turns the words of an advice into what a reader would
do, `following` does it and judges what then follows. `python -m tests.advice` follows everything and prints the table.
"""
