"""Keys and certificates: made once, kept private, usable for what they are for."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import jwt
import pytest
from cryptography import x509

from provisioner.sandbox.tls import ensure_ca, ensure_rsa_certificate, ensure_signing_key


def test_the_ca_is_kept_and_its_leaf_names_the_loopback(tmp_path: Path) -> None:
    first, second = ensure_ca(tmp_path / "ca"), None
    authority = first.ca.read_bytes()
    second = ensure_ca(tmp_path / "ca")
    assert second.ca.read_bytes() == authority
    leaf = x509.load_pem_x509_certificates(second.leaf.read_bytes())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.DNSName)[0] == "localhost"
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(second.leaf)


def test_private_files_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    ensure_ca(tmp_path / "ca")
    ensure_signing_key(tmp_path / "key.pem")
    for path in [*(tmp_path / "ca").iterdir(), tmp_path / "key.pem"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_broken_ca_is_named(tmp_path: Path) -> None:
    ensure_ca(tmp_path)
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(ValueError, match=r"ca\.pem"):
        ensure_ca(tmp_path)


def test_a_signing_key_is_kept_and_its_jwk_verifies_what_it_signs(tmp_path: Path) -> None:
    key = ensure_signing_key(tmp_path / "key.pem")
    again = ensure_signing_key(tmp_path / "key.pem")
    assert again.kid == key.kid
    token = key.sign({"sub": "x"})
    assert jwt.get_unverified_header(token)["kid"] == key.kid
    assert jwt.decode(token, jwt.PyJWK(again.jwk()).key, algorithms=["RS256"]) == {"sub": "x"}
    assert "private" not in repr(key)


def test_an_app_certificate_is_made_once_and_never_returned_with_its_key(tmp_path: Path) -> None:
    pem = ensure_rsa_certificate(tmp_path / "app.pem", "app")
    assert ensure_rsa_certificate(tmp_path / "app.pem", "other") == pem
    assert "PRIVATE KEY" not in pem
    assert "PRIVATE KEY" in (tmp_path / "app.pem").read_text()
