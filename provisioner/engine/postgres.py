"""A PostgreSQL database as a place for locks and journals that several machines share (extra `fleet`).

A journal is a row for each batch, a lock a row for each tenant that its holder changes as a sign of life, as in the
other shared places: nothing rests on a connection that lasts, so that a restart of the server takes nothing away.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from provisioner.diagnostics import Diagnostic, InputError, Locked
from provisioner.engine.locking import Holder, holder_text, parse_holder
from provisioner.engine.sharing import LARGEST_BYTES, Fetched, Remote, check_count, moved, too_large
from provisioner.extras import need

_TABLES = """
CREATE TABLE IF NOT EXISTS provisioner_journal
    (name text, number bigint, lines bytea NOT NULL, PRIMARY KEY (name, number));
CREATE TABLE IF NOT EXISTS provisioner_locks (name text PRIMARY KEY, id text NOT NULL, holder text NOT NULL);
"""
_ANSWER_S = 10
"""Seconds for a connection; a statement has six times as many."""


def secured(url: str) -> str:
    """The address with a verified certificate demanded, where it says nothing itself and leads to another machine.

    libpq's own default, `prefer`, takes whatever certificate there is, or none (postgresql.org, "SSL Support").
    """
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    host = given.get("host", parts.hostname or "")
    local = host.startswith("/") or host in {"", "localhost", "127.0.0.1", "::1"}
    if local or "sslmode" in given or "PGSSLMODE" in os.environ:
        return url
    given = {**given, "sslmode": "verify-full", "sslrootcert": given.get("sslrootcert", "system")}
    return f"{url.partition('?')[0]}?{urlencode(given)}"


@contextmanager
def _connected(url: str, use: str) -> Iterator[Any]:
    """A connection in a transaction, which is committed at the end; the tables are there. Raises InputError."""
    need("fleet", f"a {use} in PostgreSQL")
    import psycopg

    try:
        options = f"-c statement_timeout={6 * _ANSWER_S * 1000}"
        with psycopg.connect(secured(url), connect_timeout=_ANSWER_S, options=options) as connection:
            connection.execute(
                "SELECT pg_advisory_xact_lock(7236002)"
            )  # of two that make a table at once one would fail
            connection.execute(_TABLES)
            connection.commit()
            yield connection
    except psycopg.Error as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        what = f"the {use} in PostgreSQL cannot be used: {why}"
        hint = f"check the address of the setting {use}, that its server runs, and the rights of its user"
        raise InputError([Diagnostic(f"{use.upper()}-PLACE", what, hint)]) from error


# --- journals --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PostgresShare:
    """The journals in a database."""

    url: str

    def names(self) -> Sequence[str]:
        with _connected(self.url, "journal") as connection:
            found = connection.execute("SELECT DISTINCT name FROM provisioner_journal ORDER BY name")
            return [name for (name,) in found]

    @contextlib.contextmanager
    def journal(self, name: str) -> Iterator[Remote]:
        yield PostgresJournal(self.url, name)


@dataclass(slots=True)
class PostgresJournal:
    """Batches as rows, each under the number after the last."""

    url: str
    name: str
    _next: int = 1

    def fetch(self) -> Fetched:
        with _connected(self.url, "journal") as connection:
            sizes = (
                "SELECT count(*), coalesce(sum(length(lines)), 0), coalesce(max(number), 0) FROM provisioner_journal"
            )
            count, size, last = connection.execute(f"{sizes} WHERE name = %s", (self.name,)).fetchone()
            check_count(count)
            if size > LARGEST_BYTES:
                raise too_large()
            rows = "SELECT lines FROM provisioner_journal WHERE name = %s AND number <= %s ORDER BY number"
            content = b"".join(bytes(lines) for (lines,) in connection.execute(rows, (self.name, last)))
        self._next = last + 1
        return Fetched(content)

    def append(self, lines: bytes) -> None:
        with _connected(self.url, "journal") as connection:
            added = connection.execute(
                "INSERT INTO provisioner_journal (name, number, lines) SELECT %(name)s, %(number)s, %(lines)s "
                "WHERE %(number)s = 1 OR EXISTS "
                "(SELECT 1 FROM provisioner_journal WHERE name = %(name)s AND number = %(number)s - 1) "
                "ON CONFLICT DO NOTHING",
                {"name": self.name, "number": self._next, "lines": lines},
            )
            if added.rowcount == 0 and not self._arrived(connection, lines):
                raise moved("in PostgreSQL")
        self._next += 1

    def _arrived(self, connection: Any, lines: bytes) -> bool:
        """Whether these very lines were added before, by a try that nobody answered."""
        found = "SELECT lines FROM provisioner_journal WHERE name = %s AND number = %s"
        row = connection.execute(found, (self.name, self._next)).fetchone()
        return row is not None and bytes(row[0]) == lines


# --- locks -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PostgresLock:
    """A lock as a row: added where there is none, and changed only where it is as it was seen."""

    url: str
    name: str

    def try_acquire(self, holder: Holder, dead: Holder | None = None) -> Holder | None:
        with _connected(self.url, "lock") as connection:
            mine = (self.name, holder.id, holder_text(holder).decode())
            take = "INSERT INTO provisioner_locks (name, id, holder) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
            if connection.execute(take, mine).rowcount:
                return None
            text = self._text(connection)
            other = self._read(text)
            if other is None or dead is None or other != dead:
                return other or holder
            rob = "UPDATE provisioner_locks SET id = %s, holder = %s WHERE name = %s AND holder = %s"
            robbed = connection.execute(rob, (holder.id, mine[2], self.name, text)).rowcount
            return None if robbed else self._read(self._text(connection)) or holder

    def renew(self, holder: Holder) -> None:
        with _connected(self.url, "lock") as connection:
            keep = "UPDATE provisioner_locks SET holder = %s WHERE name = %s AND id = %s"
            if not connection.execute(keep, (holder_text(holder).decode(), self.name, holder.id)).rowcount:
                raise Locked(f"the lock {self.name} in PostgreSQL is not ours any more")

    def release(self, holder: Holder) -> None:
        with contextlib.suppress(InputError):
            self.break_(holder.id)

    def status(self) -> Holder | None:
        with _connected(self.url, "lock") as connection:
            return self._read(self._text(connection))

    def break_(self, id_: str) -> bool:
        with _connected(self.url, "lock") as connection:
            gone = "DELETE FROM provisioner_locks WHERE name = %s AND id = %s"
            return bool(connection.execute(gone, (self.name, id_)).rowcount)

    def freed_by(self, holder: Holder) -> str:
        return f"free a dead one: lock release {holder.id}"

    def _text(self, connection: Any) -> str:
        row = connection.execute("SELECT holder FROM provisioner_locks WHERE name = %s", (self.name,)).fetchone()
        return str(row[0]) if row else ""

    def _read(self, text: str) -> Holder | None:
        """The holder that a row tells. Raises InputError for what is not one."""
        if not text:
            return None
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        return parse_holder(document, f"{self.name} in PostgreSQL")
