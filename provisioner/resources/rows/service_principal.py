"""Get-ServicePrincipal: the applications that were registered with Exchange (New-ServicePrincipal).

ObjectId is the object id of the service principal in Entra, under "Enterprise applications"; that of the application
under "App registrations" is another one, which Exchange does not know (Learn, "Authenticate an IMAP, POP or SMTP
connection using OAuth"). For an identity that does not exist every row may come back, so all are listed.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import identifier, text_of

NAME = "Get-ServicePrincipal"
_IDS = ("ObjectId", "AppId", "Sid", "Guid", "ExchangeObjectId")
_NAMES = (*_IDS, "DisplayName", "Name", "Identity", "Id")
COLUMNS = frozenset(_NAMES)
LISTING = Cmdlet(NAME, {}, COLUMNS)


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """`id` is the object id of the service principal in Entra. `names` are all its names and ids in lower case.

    `own` are those that mean this one only: its ids and its SID. `client_id` is the application's own id.
    """

    id: str
    names: frozenset[str]
    own: frozenset[str]
    called: str
    client_id: str = ""
    display_name: str = ""


def decode(row: Row) -> ServicePrincipal:
    """One row. Raises ValueError for a row without ObjectId."""
    object_id = identifier(row, "ObjectId").lower()
    names, own = (
        frozenset(str(row[column]).strip().lower() for column in columns if row.get(column))
        for columns in (_NAMES, _IDS)
    )
    client_id, shown = (text_of(row, "AppId") or "").lower(), text_of(row, "DisplayName") or ""
    return ServicePrincipal(object_id, names, own, f"the application {shown or object_id}", client_id, shown)
