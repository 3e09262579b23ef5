"""Which properties of a row are of a type that their JSON form does not show, for every front that names types."""

from __future__ import annotations

GUIDS = frozenset(
    {
        "ArchiveGuid",
        "ExchangeGuid",
        "ExchangeObjectId",
        "Guid",
        "JobId",
        "LinkForModifiedConnector",
        "MessageTraceId",
        "NameHashGuid",
    }
)
"""System.Guid, kept as text."""

UINT16S = frozenset({"Selector1KeySize", "Selector2KeySize"})
"""System.UInt16, kept as a number."""
