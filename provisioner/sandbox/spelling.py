"""The one form in which names are compared: lower case, and a domain outside ASCII as A-labels (RFC 5891).

`info@Bücher.example` and `info@xn--bcher-kva.example` are one address. Which of the two the service stores is not
published, so that a seed may hold either, and what is stored stays as it is.
"""

from __future__ import annotations

from functools import lru_cache


def folded(name: str) -> str:
    """A name as it is compared: an address, a domain (with `*.` or without), or any other name."""
    return name.lower() if name.isascii() else _with_a_labels(name)


@lru_cache(maxsize=4096)
def _with_a_labels(name: str) -> str:
    import idna  # most tenants have no such names

    local, at, domain = name.lower().rpartition("@")
    star = "*." if domain.startswith("*.") else ""
    labels = domain.removeprefix(star)
    if "." not in labels or " " in labels:
        return name.lower()
    try:
        return f"{local}{at}{star}{idna.encode(labels, uts46=True).decode('ascii')}"
    except UnicodeError:
        return name.lower()
