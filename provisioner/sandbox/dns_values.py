"""One DNS record's data from the text that a seed, an administrator or another program writes."""

from __future__ import annotations

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass


def rdata(record_type: str, text: str) -> dns.rdata.Rdata:
    """One record's data from its text. Raises ValueError when the text is not of that type.

    Host names may lack the final dot. A TXT text without quotes is one value, cut into strings of 255 bytes.
    """
    if record_type.upper() in {"TXT", "SPF"} and not text.startswith('"'):
        raw = text.encode()
        pieces = [raw[at : at + 255] for at in range(0, len(raw), 255)] or [b""]
        escaped = ("".join(f"\\{byte:03d}" for byte in piece) for piece in pieces)
        text = " ".join(f'"{piece}"' for piece in escaped)
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, record_type.upper(), text, origin=dns.name.root, relativize=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{record_type} {text!r} is not a DNS record: {error}") from error
