"""Who sends mail through a tenant, from what the service recorded: the inventory, its sources and how they are merged.

Pure: readers say what to ask (`Cmdlet`, `GraphRequest`) and turn answers into observations; `operations` asks.
Nothing here knows a plan; a sender that was observed becomes a device elsewhere.
"""
