"""What a change does to mail, in a word or two that a reviewer sorts by: exposure, mail that may stop, deletion.

Read from the change alone, with nothing of the world around it; a change of nothing dangerous is neutral.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from provisioner.model import Action, Change

DELETES = "deletes"
WIDENS = "widens exposure"
STOPS = "can stop mail"
NEUTRAL = "neutral"

WORST_FIRST = (DELETES, WIDENS, STOPS, NEUTRAL)


def consequences(change: Change) -> tuple[str, ...]:
    """The consequences of a change, worst first; ("neutral",) where there is none, () where nothing changes."""
    if change.action is Action.NO_OP:
        return ()
    found = set(_of_type(change))
    if change.action is Action.DELETE:
        found.add(DELETES)
    return tuple(c for c in WORST_FIRST if c in found) or (NEUTRAL,)


def _of_type(change: Change) -> Iterator[str]:
    judge = _JUDGES.get(change.address.type)
    if judge:
        yield from judge(change.before, change.after)


def _smtp_auth(before: Any, after: Any) -> Iterator[str]:
    """Whoever may sign in with a password is exposed; whoever may not any more cannot send."""
    if after is None or before is None or after.smtp_auth == before.smtp_auth:
        return
    if after.smtp_auth == "enabled":
        yield WIDENS
    elif before.smtp_auth == "enabled" or after.smtp_auth == "disabled":
        yield STOPS
    else:
        yield WIDENS  # from disabled to whatever the organization says


_GATES = ("require_tls", "restrict_domains_to_ip_addresses", "restrict_domains_to_certificate")
_DOORS = ("enabled", "treat_messages_as_internal", "cloud_services_mail_enabled")
_SOURCES = ("sender_ip_addresses", "associated_accepted_domains", "sender_domains")
_SKIPS = ("ef_skip_ips", "ef_users", "trusted_organizations")


def _inbound_connector(before: Any, after: Any) -> Iterator[str]:
    """A source more, a gate less or a door open exposes; the reverse may stop what went through before."""
    if before is None:
        yield WIDENS
        return
    if after is None:
        yield STOPS
        return
    for name in (*_SOURCES, *_SKIPS):
        had, has = getattr(before, name) or frozenset(), getattr(after, name)
        if has is not None and has - had:
            yield WIDENS
        if has is not None and had - has and name in _SOURCES:
            yield STOPS
    for name, opens in (*((g, False) for g in _GATES), *((d, True) for d in _DOORS)):
        has = getattr(after, name)
        if has is not None and has != getattr(before, name):
            yield WIDENS if has is opens else STOPS
    if after.tls_sender_certificate_name not in (None, before.tls_sender_certificate_name):
        yield STOPS
        yield WIDENS


def _dkim(before: Any, after: Any) -> Iterator[str]:
    """Mail that is not signed any more is refused where DMARC asks for it."""
    if before is not None and before.enabled and after is not None and after.enabled is False:
        yield STOPS


def _send_as(before: Any, after: Any) -> Iterator[str]:  # noqa: ARG001 - it is there or it is not
    """One more who may send in another's name, or one less."""
    yield STOPS if after is None else WIDENS


def _organization(before: Any, after: Any) -> Iterator[str]:  # noqa: ARG001 - it changes only if it differs
    """Rejecting direct send stops what nobody signed in for; not rejecting it lets anyone in as us."""
    if after is not None and after.reject_direct_send is not None:
        yield STOPS if after.reject_direct_send else WIDENS


_JUDGES: Mapping[str, Callable[[Any, Any], Iterator[str]]] = {
    "smtp_auth": _smtp_auth,
    "inbound_connector": _inbound_connector,
    "dkim": _dkim,
    "send_as": _send_as,
    "organization": _organization,
}
