"""The code on a letter of paper: whoever has that letter follows the request that they asked for by post (REQ-S5).

It is the code that opens the letters of that request, of 120 bits. Paper goes to the address of record alone, so who
has it is reached there: until a person enters another address, when the letter may have come to somebody else. Then a
person sends a new code, by which that of every earlier letter is void.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from uuid_utils.compat import uuid7

from services.intake.letters import correspondence, delivery, portal_news
from services.intake.letters.rendering import Letters
from services.intake.metrics import REQUESTS
from services.intake.request.aggregate import Request, Transition
from services.intake.request.letter_kinds import LetterField
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage.postgres import Connection

# What came in one message has one acknowledgement, which names the code of each.
_POSTED = """
SELECT d.letter_id FROM request r JOIN delivery d ON d.request_id IN (r.request_id, r.case_id)
LEFT JOIN paper_code p ON p.request_id = r.request_id
WHERE r.request_id = $1 AND r.channel = 'post' AND r.tenant IS NULL
  AND (d.letter_id = p.letter_id OR p.letter_id IS NULL AND d.kind = 'acknowledgement')
  AND d.way = 'post' AND d.state = 'sent' AND d.sent_at >= (
      SELECT max(s.created_at) FROM vault.sealed s
      WHERE s.subject_ref = d.request_id AND s.kind = 'postal_address')
ORDER BY d.letter_id LIMIT 1
"""
_TO_BE_PRINTED = """
SELECT true FROM request r JOIN delivery d ON d.request_id IN (r.request_id, r.case_id)
LEFT JOIN paper_code p ON p.request_id = r.request_id
WHERE r.request_id = $1 AND d.way = 'post' AND d.state = 'waiting'
  AND (d.letter_id = p.letter_id OR p.letter_id IS NULL AND d.kind = 'acknowledgement')
"""
_ANEW = """
INSERT INTO paper_code (request_id, letter_id) VALUES ($1, $2)
ON CONFLICT (request_id) DO UPDATE SET letter_id = excluded.letter_id
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

    async def enter(self, request_id: UUID, typed: str) -> UUID | None:
        """The letter of which that is the code; None: a wrong one, for which nothing is written (``failed``)."""
        async with self.unit_of_work.begin() as tx:
            good = await correspondence.opens(tx, request_id, _read(typed))
            letter_id = await letter(tx.connection, request_id)
            if not good or letter_id is None:
                return None
            tx.log_evidence(request_id, "proof.paper_code_entered", {})
            await _forget(tx, request_id)
            return letter_id

    async def failed(self, request_id: UUID) -> None:
        """Counts a wrong code of a request, if there is one that was asked for by post."""
        async with self.unit_of_work.begin() as tx:
            failures = await tx.connection.fetchval(_FAILED, request_id, tx.now)
            if failures == self.most:
                tx.log_evidence(request_id, "proof.stopped", {"failures": failures})
                right = await tx.connection.fetchval(_RIGHT, request_id)
                tx.after_commit(REQUESTS.labels(right, "identity_failed").inc)


async def letter(connection: Connection, request_id: UUID) -> UUID | None:
    """The letter with the code, if it was posted to the address of record as that is known today."""
    found: UUID | None = await connection.fetchval(_POSTED, request_id)
    return found


async def send_anew(tx: UnitOfWork, letters: Letters, request: Request) -> Transition:
    """Has a letter with a new code printed, to the address of record; that of every earlier one is void at once.

    How many wrong ones were typed stays counted.

    Raises:
        IllegalTransition: nobody follows the request by a code on paper, no address is entered, or a letter with the
            code waits to be printed.
        Shredded: its correspondence has expired.
    """
    if request.channel != "post" or request.tenant or request.read_in_portal:
        raise IllegalTransition("nobody follows it by a code on paper: that is for what came by post")
    if not await tx.vault.places(tx.connection, request.request_id, "postal_address"):
        raise IllegalTransition("no address of record is entered: enter it first, the letter goes there")
    if await tx.connection.fetchval(_TO_BE_PRINTED, request.request_id):
        raise IllegalTransition("a letter with its code waits to be printed: post that, it goes to that address")
    letter_id = uuid7()
    told = correspondence.on_paper(correspondence.code(tx.vault.keyring, request.request_id, letter_id))
    fields: dict[str, LetterField] = {"code": told, "follow": portal_news.page_for_paper(request)}
    written = correspondence.write(letters, request, ("paper_code", fields), tx.now)
    sealing = replace(written, sealed_id=letter_id)
    await delivery.keep(tx, letters, [delivery.Written(request, sealing)])
    await tx.connection.execute(_ANEW, request.request_id, letter_id)
    tx.log_evidence(request.request_id, "letter.written", correspondence.named(sealing))
    return request.noted("proof.paper_code_sent", letter_id=str(letter_id))


async def _forget(tx: UnitOfWork, request_id: UUID) -> None:
    await tx.connection.execute("DELETE FROM paper_code_failure WHERE request_id = $1", request_id)


def _read(typed: str) -> str:
    """What somebody has typed, as codes are made: whatever the case, and wherever they put blanks and hyphens."""
    return "".join(each for each in typed.upper() if each.isalnum() and each.isascii()).translate(_ALIKE)
