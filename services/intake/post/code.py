"""The code on a letter of paper: whoever has that letter follows the request that they asked for by post (REQ-S5).

It is the code that opens the letters of that request, of 120 bits. Paper goes to the address of record alone, so who
has it is reached there: until a person enters another address, when the letter may have come to somebody else.
"""

from dataclasses import dataclass
from uuid import UUID

from services.intake.letters import correspondence
from services.intake.metrics import REQUESTS
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage.postgres import Connection

# What came in one message has one acknowledgement, which names the code of each.
_POSTED = """
SELECT EXISTS (
    SELECT FROM request r JOIN delivery d ON d.request_id IN (r.request_id, r.case_id)
    WHERE r.request_id = $1 AND r.channel = 'post' AND r.tenant IS NULL
      AND d.kind = 'acknowledgement' AND d.way = 'post' AND d.state = 'sent' AND d.sent_at >= (
          SELECT max(s.created_at) FROM vault.sealed s
          WHERE s.subject_ref = d.request_id AND s.kind = 'postal_address'))
"""
_FAILED = """
INSERT INTO paper_code_failure AS f (request_id, failures, last_at)
SELECT request_id, 1, $2 FROM request WHERE request_id = $1 AND channel = 'post'
ON CONFLICT (request_id) DO UPDATE SET failures = f.failures + 1, last_at = $2 RETURNING failures
"""
_RIGHT = 'SELECT "right" FROM request WHERE request_id = $1'
_ALIKE = str.maketrans("08", "OB")
"""Digits that no code has, and that look like a letter of one."""


@dataclass(frozen=True, slots=True)
class PaperCodes:
    """Takes such codes; ``most``: so many wrong ones of a request are put before a person."""

    unit_of_work: UnitOfWorkFactory
    most: int

    async def enter(self, request_id: UUID, typed: str) -> bool:
        """Whether that is the code of the request; for a wrong one nothing is written (``failed``)."""
        async with self.unit_of_work.begin() as tx:
            good = correspondence.opens(tx.vault.keyring, request_id, _read(typed))
            good = await opens(tx.connection, request_id) and good
            if good:
                tx.log_evidence(request_id, "proof.paper_code_entered", {})
                await _forget(tx, request_id)
            return good

    async def failed(self, request_id: UUID) -> None:
        """Counts a wrong code of a request, if there is one that was asked for by post."""
        async with self.unit_of_work.begin() as tx:
            failures = await tx.connection.fetchval(_FAILED, request_id, tx.now)
            if failures == self.most:
                tx.log_evidence(request_id, "proof.stopped", {"failures": failures})
                right = await tx.connection.fetchval(_RIGHT, request_id)
                tx.after_commit(REQUESTS.labels(right, "identity_failed").inc)


async def opens(connection: Connection, request_id: UUID) -> bool:
    """Whether the letter with the code was posted to the address of record as that is known today."""
    return bool(await connection.fetchval(_POSTED, request_id))


async def _forget(tx: UnitOfWork, request_id: UUID) -> None:
    await tx.connection.execute("DELETE FROM paper_code_failure WHERE request_id = $1", request_id)


def _read(typed: str) -> str:
    """What somebody has typed, as codes are made: whatever the case, and wherever they put blanks and hyphens."""
    return "".join(each for each in typed.upper() if each.isalnum() and each.isascii()).translate(_ALIKE)
