"""How the tenant keeps mailbox passwords: salted scrypt (RFC 7914), never the password.

The cost is low on purpose: a seed may bring many passwords, and every sign-in is checked in the event loop. What is
kept here guards nothing but a sandbox.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

_COST, _BLOCK, _PARALLEL = 2**12, 8, 1  # about 10 ms and 4 MB


def kept(password: str) -> str:
    """What is kept of a password: "scrypt$<salt>$<hash>", both in hexadecimal."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_derived(password, salt).hex()}"


def matches(password: str, stored: object) -> bool:
    """Whether `stored` was made of this password. False for anything that `kept` did not write."""
    kind, _, rest = str(stored or "").partition("$")
    salt, _, digest = rest.partition("$")
    try:
        return kind == "scrypt" and hmac.compare_digest(_derived(password, bytes.fromhex(salt)), bytes.fromhex(digest))
    except ValueError:
        return False


def _derived(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, dklen=32)
