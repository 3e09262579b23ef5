"""RSA keys made before they are needed, for the sandboxes that are forked from one process (tests/forked.py)."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

_new = rsa.generate_private_key
_stock = [_new(65537, 2048) for _ in range(4)]
"""As many as a sandbox makes at its start. Made when this module is loaded."""


def use_stock() -> None:
    """Let the first keys that this process makes be those of the stock, each once."""
    left = list(_stock)

    def next_key(public_exponent: int, key_size: int, backend: Any = None) -> rsa.RSAPrivateKey:
        stocked = left and (public_exponent, key_size) == (65537, 2048)
        return left.pop() if stocked else _new(public_exponent, key_size, backend)

    rsa.generate_private_key = next_key
