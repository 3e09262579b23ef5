"""Passwords as the sandbox keeps them."""

from __future__ import annotations

import hashlib

import pytest

from provisioner.sandbox import passwords


def test_the_same_password_is_kept_differently_each_time_and_matches_both() -> None:
    one, other = passwords.kept("right"), passwords.kept("right")
    assert one != other
    assert "right" not in one
    assert passwords.matches("right", one)
    assert passwords.matches("right", other)
    assert not passwords.matches("Right", one)


@pytest.mark.parametrize(
    "stored", [None, "", "right", "scrypt$", "scrypt$zz$00", "scrypt$00$00", hashlib.sha256(b"right").hexdigest()]
)
def test_what_was_not_made_here_matches_nothing(stored: object) -> None:
    assert not passwords.matches("right", stored)
