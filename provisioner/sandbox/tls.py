"""Keys and certificates of the sandbox: its CA, the leaf of its listeners, RSA keys that are made once and kept.

A private CA stands in the state folder, so that a client that trusted it yesterday trusts it today. The leaf is issued
anew at each start (a millisecond): for loopback, and for the names that the caller gives. RSA keys take some 50 ms each
and are therefore made once and read back afterwards. Who owns which key is decided in apps.py and server.py, not here.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from provisioner.sandbox.platforms import replace

_LOOPBACK_NAMES = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class ListenerFiles:
    """Where the CA (to be trusted by clients) and the leaf with its key and chain (to be served) lie."""

    ca: Path
    leaf: Path


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """An RSA key that signs JWTs (RS256), with the `kid` under which its public half is published."""

    private: rsa.RSAPrivateKey
    kid: str

    def jwk(self) -> dict[str, Any]:
        """The public half as a JSON Web Key (RFC 7517), as a `jwks_uri` would show it."""
        numbers = self.private.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": _base64url_int(numbers.n),
            "e": _base64url_int(numbers.e),
        }

    def sign(self, claims: dict[str, Any]) -> str:
        """A compact JWT over `claims`, with `typ`, `alg`, `kid` and `x5t` in its header, as Entra writes them."""
        import jwt

        return jwt.encode(claims, self.private, algorithm="RS256", headers={"kid": self.kid, "x5t": self.kid})


def ensure_ca(folder: Path, names: Iterable[str] = ()) -> ListenerFiles:
    """The CA of `folder`, made there when missing, and a fresh leaf for loopback and `names`.

    Raises ValueError when the files are broken.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate, key = folder / "ca.pem", folder / "ca-key.pem"
    if certificate.exists() and key.exists():
        try:
            ca = trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
        except (ValueError, IndexError) as error:
            raise ValueError(f"{certificate} or its key is not readable as PEM: {error}") from error
    else:
        ca = trustme.CA(organization_name="provisioner sandbox", organization_unit_name="loopback only")
        write_private(key, ca.private_key_pem.bytes())
        write_private(certificate, ca.cert_pem.bytes())
    leaf = ca.issue_cert(*dict.fromkeys((*_LOOPBACK_NAMES, *names)), organization_name="provisioner sandbox")
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    write_private(folder / "leaf.pem", leaf.private_key_pem.bytes() + chain)
    return ListenerFiles(ca=certificate, leaf=folder / "leaf.pem")


def issue_certificate(folder: Path, name: str) -> str:
    """Key and certificate of a client (PEM) that the CA of `folder` vouches for. Raises ValueError for a bad name."""
    ca = trustme.CA.from_pem((folder / "ca.pem").read_bytes(), (folder / "ca-key.pem").read_bytes())
    leaf = ca.issue_cert(name, common_name=name[:64], organization_name="provisioner sandbox")
    return leaf.private_key_and_cert_chain_pem.bytes().decode()


def ensure_signing_key(path: Path) -> SigningKey:
    """The RSA key kept at `path`, made when missing. Its `kid` is the thumbprint of the public key."""
    if path.exists():
        private = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError(f"{path} does not hold an RSA key")
    else:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private = rsa.generate_private_key(65537, 2048)
        write_private(path, _key_pem(private))
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey(private, base64url(hashlib.sha1(spki, usedforsecurity=False).digest()))


def ensure_rsa_certificate(path: Path, common_name: str) -> str:
    """Make key and self-signed certificate in one PEM file at `path` unless it is there; return the certificate's PEM.

    RSA, because azure-identity's certificate credential refuses any other key.
    """
    if not path.exists():
        private = rsa.generate_private_key(65537, 2048)
        certificate = self_signed(private, common_name)
        write_private(path, _key_pem(private) + certificate.public_bytes(Encoding.PEM))
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.PEM).decode()


def self_signed(private: rsa.RSAPrivateKey, common_name: str) -> x509.Certificate:
    """A certificate of ten years for `private`, as an administrator would upload to an app registration."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name[:64])])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=3650))
    return builder.sign(private, hashes.SHA256())


def write_private(path: Path, content: bytes) -> None:
    """Write `content` atomically, readable by the owner only: no reader ever sees half a file."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    replace(draft, path)


def write_private_json(path: Path, value: Any) -> None:
    """`write_private` for a JSON document, indented for a person."""
    write_private(path, json.dumps(value, indent=1).encode() + b"\n")


def base64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _key_pem(private: rsa.RSAPrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _base64url_int(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
