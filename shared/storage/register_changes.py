"""Applies reported changes of one number between two readings of the register: assigned or released.

A change that contradicts the register has no effect, and becomes a conflict for review.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from shared.domain.assignments import (
    EVER,
    AssignedNumber,
    Assignment,
    AssignmentPeriod,
    ConflictKind,
    Line,
    RegisterConflict,
)
from shared.domain.errors import DsrError
from shared.storage.keyring import Keyring
from shared.storage.postgres import Connection

# Locked as by a reading, so that one comes after the other.
_SOURCE = "SELECT namespace FROM register.source WHERE source = $1 FOR UPDATE"
_OF_NUMBER = "SELECT identity, holder, valid_from, valid_to, line FROM register.assignment WHERE identity = $1"
_ASSIGN = """
INSERT INTO register.assignment (identity, holder, valid_from, valid_to, line, source, learned_at)
VALUES ($1, $2, $3, NULL, $4, $5, $6)
"""
_END = """
UPDATE register.assignment SET valid_to = $4, learned_at = $5
WHERE identity = $1 AND holder = $2 AND source = $3 AND valid_to IS NULL
"""
_CHANGED = "UPDATE register.source SET unannounced = true WHERE source = $1"


class RegisterUnfilled(DsrError):
    """The register was not yet filled from that source: one reported number would vouch for all others."""


@dataclass(frozen=True, slots=True)
class ReportedNumber:
    """A reported number, with the locked register of its source; ``by``: who reports it."""

    connection: Connection
    source: str
    by: str
    number: bytes
    holder: bytes
    now: datetime
    known: Sequence[Assignment]

    @classmethod
    async def of(
        cls, connection: Connection, keyring: Keyring, stated: AssignedNumber, source: str, by: str, now: datetime
    ) -> Self:
        """Locks the register for it.

        Raises:
            RegisterUnfilled: no reading of that source was taken over as yet.
        """
        namespace = await connection.fetchval(_SOURCE, source)
        if namespace is None:
            raise RegisterUnfilled(f"the register was not read from {source} as yet; send it again afterwards")
        number, holder = keyring.fingerprint(stated.number), keyring.holder(namespace, stated.account_id)
        rows = await connection.fetch(_OF_NUMBER, number)
        known = [Assignment(row[0], row[1], row[2], row[3], Line(row[4])) for row in rows]
        return cls(connection, source, by, number, holder, now, known)

    async def assigned(self, since: datetime, line: Line) -> RegisterConflict | None:
        """Assigns the number to the account; returns the conflict if it cannot be."""
        period = Assignment(self.number, self.holder, since, None, line).period
        if any(each.period.cut(period) for each in self.known if each.holder != self.holder):
            return self._conflict(since, None, ConflictKind.ANOTHER_HOLDER)
        own = [each for each in self.known if each.holder == self.holder and each.period.cut(period)]
        if any(each.valid_from <= since and each.valid_to is None for each in own):
            return None  # as the register has it
        if own:
            return self._conflict(since, None, ConflictKind.NOT_IN_REGISTER)
        await self.connection.execute(_ASSIGN, self.number, self.holder, since, line.value, self.source, self.now)
        await self.connection.execute(_CHANGED, self.source)
        return None

    async def released(self, until: datetime) -> RegisterConflict | None:
        """Releases the number; returns the conflict if it was not the account's."""
        own = [each for each in self.known if each.holder == self.holder]
        if any(each.valid_to == until for each in own):
            return None  # as the register has it
        if any(each.valid_to is None and each.valid_from < until for each in own):
            await self.connection.execute(_END, self.number, self.holder, self.source, until, self.now)
            await self.connection.execute(_CHANGED, self.source)
            return None
        before = AssignmentPeriod(EVER, until)
        others = any(each.period.cut(before) for each in self.known if each.holder != self.holder)
        return self._conflict(EVER, until, ConflictKind.ANOTHER_HOLDER if others else ConflictKind.NOT_IN_REGISTER)

    def _conflict(self, since: datetime, until: datetime | None, kind: ConflictKind) -> RegisterConflict:
        return RegisterConflict(self.number, self.by, since, until, kind)
