"""How many people stand behind signatures: names and keys that are shared make one person of two."""

from __future__ import annotations

import itertools

import pytest

from provisioner.operations.approving import message, people_of
from provisioner.operations.ssh_signatures import Signer, signatures_in

ADA, BOB, CARL = Signer("k1", ("ada",)), Signer("k2", ("bob",)), Signer("k3", ("carl",))


@pytest.mark.parametrize(
    ("signers", "people"),
    [
        ((), 0),
        ((ADA,), 1),
        ((ADA, BOB), 2),
        ((ADA, ADA), 1),
        ((ADA, Signer("k1", ("bob",))), 1),
        ((ADA, Signer("k9", ("ADA",))), 1),
        ((ADA, BOB, Signer("k9", ("ada", "bob"))), 1),
        ((ADA, BOB, CARL, Signer("k1", ("bob",))), 2),
        ((ADA, BOB, CARL), 3),
    ],
)
def test_people_are_counted_in_any_order(signers: tuple[Signer, ...], people: int) -> None:
    for order in itertools.permutations(signers):
        found = people_of(order)
        assert len(found) == people
        assert sorted(s.key for p in found for s in p) == sorted(s.key for s in signers)


def test_the_message_is_the_digest_with_a_line_end() -> None:
    assert message("sha256:00ff") == b"sha256:00ff\n"


def test_signatures_are_found_in_a_text_and_brought_into_form() -> None:
    begin, end = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
    plain = begin + b"\n" + b"A" * 70 + b"\n" + b"B" * 10 + b"=\n" + end + b"\n"
    quoted = plain.replace(b"\n", b"\r\n > ")
    assert signatures_in(b"one " + quoted + b" two\n" + plain + begin) == [plain, plain]
    assert signatures_in(begin + b"AAAA") == []
    assert signatures_in(end + begin) == []
