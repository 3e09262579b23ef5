"""Writing to zones by a provider of octoDNS (https://github.com/octodns/octodns), which the user's settings name.

octoDNS makes a zone equal to a desired one: a desired zone of our records alone deletes all others, and a record
is a whole set of values. Here the desired zone is what the provider has, with one set changed by single values (an
overlay); a plan of the provider that has anything else in it is refused, and so is an overlay of a zone that reads as
empty or otherwise than its authoritative servers answer.

The provider reads the zone in the same call, right before it writes. octoDNS has no prerequisites: what another person
writes to the same set between these two is lost (DNS UPDATE has them, `rfc2136.py`).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import site
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from provisioner.diagnostics import (
    Diagnostic,
    InputError,
    PermissionMissing,
    Refused,
    TenantError,
    Unavailable,
    Unclear,
)
from provisioner.extras import need
from provisioner.model import DnsUpdate
from provisioner.tenant.credentials import secret_value
from provisioner.tenant.threads import in_thread
from provisioner.tenant.zones import Place, Record, check_unchanged, words

if TYPE_CHECKING:
    from provisioner.settings import DnsProvider

T = TypeVar("T")
_LONGEST_S = 300.0
_FORBIDDEN = (401, 403)
_AT_ONCE = threading.Lock()
"""Python's logging is one for the whole program, and what is logged meanwhile is redacted."""


class OctoDns:
    """Writes to zones that a provider of octoDNS has."""

    async def check(self, place: Place) -> None:
        """Raises InputError without the extra or the class, and for a provider whose settings it does not take."""
        options, secrets = _options(place.provider)
        await _in_turn(lambda: _made(place, options, secrets), secrets)

    async def write(self, update: DnsUpdate, place: Place, found: Sequence[Record]) -> Sequence[str]:
        """One set, with the other values that it has. Raises Unclear once the provider may have written."""
        options, secrets = _options(place.provider)
        job = _Job(update, place, found, secrets)

        try:
            return await _in_turn(lambda: job.carry_out(_made(place, options, secrets)), secrets, job.give_up)
        except TimeoutError:
            raise job.failed(f"it did not end in {_LONGEST_S:.0f} seconds") from None


async def _in_turn(work: Callable[[], T], secrets: Sequence[str], give_up: Callable[[], None] = lambda: None) -> T:
    """What `work` returns, in a thread, which is left behind where it takes too long. Raises TimeoutError.

    `give_up` is called before it is left behind: what it still does then, nobody hears of.
    """

    def alone() -> T:
        with _AT_ONCE, _redacting(secrets):
            return work()

    ends = time.monotonic() + _LONGEST_S
    return await in_thread(alone, lambda: ends, give_up)


@dataclass(slots=True)
class _Job:
    """One update on its way through a provider."""

    update: DnsUpdate
    place: Place
    found: Sequence[Record]
    secrets: Sequence[str]
    writing: bool = False
    given_up: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def give_up(self) -> None:
        """Write nothing, unless the provider is writing already. Called from another thread."""
        with self._turn:
            self.given_up = True

    def _begin_writing(self) -> None:
        with self._turn:
            if self.given_up:
                raise Unavailable(f"{self.place.named} took too long to read its zone", str(self.update))
            self.writing = True

    def carry_out(self, provider: Any) -> Sequence[str]:
        """Plan, compare the plan with what is asked for, apply. Raises TenantError."""
        from octodns.zone import Zone

        try:
            desired = Zone(f"{self.place.zone}.", [])
            if self.place.provider.whole_file:  # octoDNS leaves out NS of the zone itself where it is not desired
                provider.populate(desired, target=True, lenient=True)
            plan = provider.plan(desired, processors=[self.overlay()], lenient=True)
            if plan is None:
                return [f"{self.place.named} has the record already: it was not written again"]
            self.check(plan)
            self._begin_writing()
            if not provider.apply(plan):
                raise Refused(f"{self.place.named} did not write anything: apply_disabled is set", str(self.update))
        except TenantError:
            raise
        except Exception as error:  # noqa: BLE001 - a provider is code of others, and raises anything
            status = getattr(getattr(error, "response", None), "status_code", None)
            raise self.failed(words(error), forbidden=status in _FORBIDDEN) from None
        return ()

    def failed(self, reason: str, *, forbidden: bool = False) -> TenantError:
        """What an error of the provider means: before it writes nothing was done, afterwards only a read tells."""
        text = _redacted(f"{self.place.named} ({self.place.provider.provider_class}) failed: {reason}", self.secrets)
        if forbidden:
            return PermissionMissing(text, str(self.update), hint=f"allow its account to change {self.place.zone}")
        return (Unclear if self.writing else Unavailable)(text, str(self.update))

    def overlay(self) -> Any:
        """The processor that lays the update over what the provider has."""
        from octodns.processor.base import BaseProcessor

        job = self

        class Overlay(BaseProcessor):  # type: ignore[misc] # octoDNS comes without types
            def process_source_and_target_zones(
                self, desired: Any, existing: Any, *_: Any, **__: Any
            ) -> tuple[Any, Any]:
                job.lay_over(desired, existing)
                return desired, existing

        return Overlay("overlay")

    @property
    def name(self) -> str:
        """The owner name as octoDNS has it: without the zone."""
        return self.place.owner.removesuffix(self.place.zone).removesuffix(".")

    def lay_over(self, desired: Any, existing: Any) -> None:
        """All that exists is desired, and of one set the values that the update adds and not those that it removes."""
        from octodns.record import Record as OctoRecord

        if not existing.records:
            raise Refused(
                f"{self.place.named} reads the zone {self.place.zone} as empty: nothing was written",
                str(self.update),
                hint="correct the options of the provider: it must read what it writes",
            )
        for record in existing.records:
            desired.add_record(record, replace=True, lenient=True)
        here = [record for record in existing.records if record.name == self.name]
        check_unchanged(
            self.update, self.place, [(record._type, value) for record in here for value in _values(record)]
        )
        old = next((record for record in here if record._type == self.update.type), None)
        self.check_readable(old)
        values = self.values(old)
        if not values:
            if old is not None:
                desired.remove_record(old)
            return
        data = {k: v for k, v in old.data.items() if k not in ("value", "values")} if old is not None else {}
        data = {"ttl": self.update.ttl_s, **data, "type": self.update.type}
        data |= {"value": values[0]} if self.update.type == "CNAME" else {"values": values}
        made = OctoRecord.new(desired, self.name, data, lenient=True)
        desired.add_record(made, replace=True, lenient=True)

    def check_readable(self, old: Any) -> None:
        """Raises Refused where the set would not be written back as it is: what octoDNS reads must be all of it."""
        there = set(_values(old)) if old is not None else set()
        ours = [record for record in self.found if record.type == self.update.type]
        lost = sorted(f'"{r.value}"' for r in ours if r.value not in there)
        cut = sorted(f'"{r.value}"' for r in ours if r.value not in self.update.remove and not _survives(r))
        problems = (
            [f"the zone's servers answer with {', '.join(lost)}, which the provider does not have"] if lost else []
        )
        problems += [f"octoDNS would write {', '.join(cut)} otherwise than it is"] if cut else []
        if old is not None and (getattr(old, "dynamic", None) or getattr(old, "geo", None)):
            problems.append("its answers depend on who asks")
        if problems:
            what = f"{self.place.owner} {self.update.type}: {'; '.join(problems)}. Nothing was written"
            hint = "try again where the servers lag behind the provider, or publish the record by hand"
            raise Refused(what, str(self.update), hint=hint)

    def values(self, old: Any) -> list[str]:
        """The values of the set, as octoDNS writes them."""
        added = [_octo(self.update.type, str(value)) for value in self.update.add]
        if old is None:
            return added
        gone = {*self.update.remove, *map(str, self.update.add)}
        plain = getattr(old, "values", None) or [old.value]
        return [*(str(v) for v in plain if _plain(old._type, str(v)) not in gone), *added]

    def check(self, plan: Any) -> None:
        """Raises Refused for a plan that does anything but the update."""
        others = [c for c in plan.changes if (c.record.name, c.record._type) != (self.name, self.update.type)]
        found = [f"{c.record.fqdn} {c.record._type}" for c in others] + [f"{plan.meta}"] * bool(plan.meta)
        if found:
            what = f"{self.place.named} would also change {', '.join(found[:5])}: nothing was written"
            raise Refused(_redacted(what, self.secrets), str(self.update), hint="publish the record by hand")


# --- the provider ----------------------------------------------------------------------------------------------------


def _options(provider: DnsProvider) -> tuple[dict[str, Any], Sequence[str]]:
    """The options with the secrets in them, and the secrets. Raises InputError for one that is not there."""
    secrets = {
        name: secret_value(value)
        for name, value in provider.options.items()
        if isinstance(value, str) and value.startswith(("env:", "file:"))
    }
    return {**provider.options, **secrets}, sorted(secrets.values(), key=len, reverse=True)


def _made(place: Place, options: dict[str, Any], secrets: Sequence[str]) -> Any:
    """The provider, made anew: many keep what they once read. Raises InputError."""
    kind = _class_of(place)
    try:
        provider = kind(place.named, **options)
    except Exception as error:  # noqa: BLE001 - a provider is code of others, and raises anything
        what = _redacted(f"dns.{place.named}: {place.provider.provider_class} is not made: {words(error)}", secrets)
        fix = "write the options that its documentation names"
        raise InputError([Diagnostic("DNS-OPTIONS", what, fix)]) from None
    if _writes_files(provider) and not place.provider.whole_file:
        what = (
            f"dns.{place.named}: {place.provider.provider_class} writes the whole zone as a file, "
            "whose comments and whose records of types that it does not know are lost"
        )
        raise InputError(
            [Diagnostic("DNS-WHOLE-FILE", what, f"set whole_file = true in dns.{place.named} to accept it")]
        )
    return provider


def _writes_files(provider: Any) -> bool:
    from octodns.provider.yaml import YamlProvider

    return isinstance(provider, YamlProvider) or hasattr(provider, "directory")


def _class_of(place: Place) -> type[Any]:
    """The class, of a package that is installed: nothing is imported from the working folder. Raises InputError."""
    need("dns", f"the DNS provider {place.named}, which octoDNS writes,")
    from octodns.provider.base import BaseProvider

    text = place.provider.provider_class
    module, _, name = text.rpartition(".")
    top = module.partition(".")[0]
    fault = ""
    if not _is_installed(top):
        fault = f"no installed package has the module {top}"
    else:
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError as error:
            fault = f"it cannot be imported: {error}"
        else:
            if isinstance(found, type) and issubclass(found, BaseProvider):
                return found
            fault = "it is not a provider of octoDNS"
    fix = "install the package of the provider, and write the class as octoDNS does"
    raise InputError([Diagnostic("DNS-CLASS", f"dns.{place.named}.class {text}: {fault}", fix)])


def _is_installed(top: str) -> bool:
    """Whether Python would import a package from where pip installs, and not from the working folder."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    places = [Path(p) for p in (*(spec.submodule_search_locations or ()), *filter(None, [spec.origin]))]
    return bool(places) and all(any(p.resolve().is_relative_to(root) for root in _roots()) for p in places)


@functools.cache
def _roots() -> tuple[Path, ...]:
    places = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if site.ENABLE_USER_SITE:
        places.append(site.getusersitepackages())
    return tuple(Path(place).resolve() for place in places)


# --- values ----------------------------------------------------------------------------------------------------------


def _plain(kind: str, value: str) -> str:
    """A value of octoDNS as the servers answer with it: octoDNS escapes the semicolons of TXT."""
    return value.replace("\\;", ";") if kind == "TXT" else value.lower().removesuffix(".")


def _octo(kind: str, value: str) -> str:
    return value.replace(";", "\\;") if kind == "TXT" else f"{value.removesuffix('.')}."


def _values(record: Any) -> list[str]:
    """The values of a set of octoDNS, as the servers answer with them."""
    values = getattr(record, "values", None) or [getattr(record, "value", "")]
    return [_plain(record._type, str(value)) for value in values]


def _survives(record: Record) -> bool:
    """Whether octoDNS writes a value back as it is: it joins the strings of a TXT value, and cuts them after 255."""
    strings = getattr(record.data, "strings", None)
    if strings is None:
        return True
    whole = all(len(string) == 255 for string in strings[:-1])
    return whole and record.value.isascii() and not set(record.value) & set('"\\')


# --- secrets ---------------------------------------------------------------------------------------------------------


def _redacted(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        for form in (secret, quote(secret, safe="")):
            text = text.replace(form, "(secret)")
    return text


@contextmanager
def _redacting(secrets: Sequence[str]) -> Iterator[None]:
    """Nothing that is logged meanwhile has a secret in it, whatever handlers the program has."""
    plain: Callable[..., logging.LogRecord] = logging.getLogRecordFactory()

    def redacting(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = plain(*args, **kwargs)
        record.msg, record.args = _redacted(record.getMessage(), secrets), ()
        record.exc_info = record.exc_text = None
        return record

    logging.setLogRecordFactory(redacting)
    try:
        yield
    finally:
        logging.setLogRecordFactory(plain)
