"""Get-DkimSigningConfig: where the rotation of a domain's keys stands.

Rotate-DkimSigningConfig makes a new key for the selector that does not sign. It signs from RotateOnDate on, four days
later (Learn, "Rotate DKIM keys"; recorded rows: RotateOnDate is KeyCreationTime and 96 hours). Until then the old
selector signs, and a further rotation would replace the key that is about to.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import domain_name, lenient, of_domain, text_of

SELECTORS = ("selector1", "selector2")
COLUMNS = frozenset({
    "Domain", "Name", "Identity", "Guid", "Enabled", "KeyCreationTime", "RotateOnDate", "SelectorBeforeRotateOnDate",
    "SelectorAfterRotateOnDate", *(f"{s.capitalize()}{what}" for s in SELECTORS for what in ("KeySize", "CNAME")),
})  # fmt: skip
REQUEST = Cmdlet("Get-DkimSigningConfig", columns=COLUMNS)

_MILLISECONDS = re.compile(r"/?Date\((-?\d+)\)/?")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FRACTION = re.compile(r"(\.\d{6})\d+")


@dataclass(frozen=True, slots=True)
class Rotation:
    """`signing` signs until `due`, `next` from then on; both are the same once `due` is over. All that was read."""

    domain: str
    enabled: bool
    signing: str
    next: str
    due: dt.datetime
    created: dt.datetime
    key_sizes: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)

    @property
    def pending(self) -> bool:
        """Whether the keys are being rotated: the selector that will sign does not yet."""
        return self.signing != self.next

    @property
    def resting(self) -> str:
        """The selector that does not sign now: a rotation gives it a new key."""
        return next(selector for selector in SELECTORS if selector != self.signing)


def decode(rows: Sequence[Row], domain: str, now: dt.datetime) -> Rotation | None:
    """Where the rotation of a domain stands; None where it has no signing configuration.

    Raises ValueError for a row that does not say, and for several rows of the domain.
    """
    row = of_domain(rows, domain, "Domain", f"configurations of {domain}")
    if row is None:
        return None
    created, due = (_moment(row, column) for column in ("KeyCreationTime", "RotateOnDate"))
    before, after = (_selector(row, f"Selector{when}RotateOnDate") for when in ("Before", "After"))
    if not isinstance(row.get("Enabled"), bool):
        raise ValueError("Get-DkimSigningConfig did not return Enabled")
    sizes = {s: row.get(f"{s.capitalize()}KeySize") for s in SELECTORS}
    targets = {s: (text_of(row, f"{s.capitalize()}CNAME") or "").removesuffix(".") for s in SELECTORS}
    known = {s: size for s, size in sizes.items() if isinstance(size, int)}
    signing = after if now >= due else before
    return Rotation(lenient(domain_name)(domain), row["Enabled"], signing, after, due, created, known, targets)


def _selector(row: Row, column: str) -> str:
    value = str(row.get(column) or "").lower()
    if value not in SELECTORS:
        raise ValueError(f"Get-DkimSigningConfig did not return {column}")
    return value


def _moment(row: Row, column: str) -> dt.datetime:
    """A date as REST writes it ("2026-07-14T18:59:08.6546544Z", once without Z), or an export ("/Date(ms)/")."""
    text = str(row.get(column) or "")
    try:
        if found := _MILLISECONDS.fullmatch(text):
            return _EPOCH + dt.timedelta(milliseconds=int(found[1]))
        moment = dt.datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    except (ValueError, OverflowError):
        raise ValueError(f"Get-DkimSigningConfig did not return {column}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
