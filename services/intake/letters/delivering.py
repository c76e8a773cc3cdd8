"""What a person does with letters that nobody fetches: print and post them, send them another way, give one up."""

from dataclasses import dataclass
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from services.intake import recipient_digests, repository
from services.intake.auth import Caller
from services.intake.deciding import Deciding
from services.intake.errors import NotFound
from services.intake.letters import delivered, delivery
from services.intake.letters import schemas as letter_schemas
from services.intake.letters.delivery import Delivery
from services.intake.letters.print_page import LINES, Page
from shared.domain.errors import IllegalTransition
from shared.domain.notices import NoticeText, opened
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.vault import Sealing

_TO_PRINT = """
SELECT letter_id, request_id FROM delivery WHERE way = 'post' AND state = 'waiting' ORDER BY letter_id LIMIT $1
"""
_WAITS = frozenset({"waiting", "person"})


@dataclass(frozen=True, slots=True)
class DeliveringUseCases(Deciding):
    """Delivers letters by hand.

    Raises:
        NotFound: there is no such letter, or it is one that is fetched.
        IllegalTransition: it does not wait for that.
    """

    async def open_letters(
        self, after: UUID | None, limit: int, state: str | None = None, way: str | None = None
    ) -> list[Delivery]:
        """Letters that wait to be delivered, or for a person; ``state`` and ``way``: those alone."""
        async with self.unit_of_work.pool.acquire() as connection:
            return await delivery.waiting(connection, after, limit, state, way)

    async def pages(self, caller: Caller, limit: int) -> list[Page]:
        """The letters that are to be posted, each with its address of record; who has read them is on record."""
        async with self.unit_of_work.begin() as tx:
            rows = await tx.connection.fetch(_TO_PRINT, limit)
            pages = [await self._page(tx, letter_id, request_id, caller) for letter_id, request_id in rows]
            return [page for page in pages if page]

    async def posted(self, letter_id: UUID, caller: Caller) -> None:
        """Somebody has posted it: this day is that on which the subject was told."""
        async with self.unit_of_work.begin() as tx:
            if (await _waiting(tx, letter_id)).way != "post":
                raise IllegalTransition("it goes by e-mail; have it sent by post before you mark it as posted")
            await delivered.sent(tx, self.letters, letter_id, caller.actor)

    async def deliver_by(self, letter_id: UUID, said: letter_schemas.AnotherWay, caller: Caller) -> None:
        """It is delivered anew: by e-mail to an address that is proved, or on paper to the address of record.

        One that is for somebody else than whoever asked goes once more where it says, or a person tells them.
        """
        async with self.unit_of_work.begin() as tx:
            letter = await _waiting(tx, letter_id)
            request = await repository.read(tx.connection, letter.request_id) if letter.request_id else None
            if said.way == "email":
                if fault := await delivery.readdress(tx, request, letter):
                    otherwise = "tell them yourself" if letter.kind in delivery.BY_ADDRESS else "send it by post"
                    raise IllegalTransition(f"there is no e-mail address to send it to: {fault}; {otherwise}")
            elif request and letter.kind in delivery.BY_ADDRESS:
                raise IllegalTransition(
                    "the address of record is that of whoever asked, and this letter goes where it says: have it sent"
                    " there again by e-mail, or tell them yourself"
                )
            elif request and not await tx.vault.places(tx.connection, request.request_id, delivery.POSTAL):
                raise IllegalTransition("no address of record is entered: enter it, and then have it sent by post")
            if not await delivery.send_by(tx, request, letter, said.way):
                raise IllegalTransition(f"it waits to go by {letter.way} already: wait for that, or give it up")
            detail = {"letter_id": str(letter_id), "kind": letter.kind, "way": said.way}
            if request:
                tx.log_evidence(request.request_id, "letter.sent_another_way", detail, caller.actor)

    async def give_up(self, letter_id: UUID, said: letter_schemas.GivenUp, caller: Caller) -> None:
        """Nobody can deliver it; why not is kept sealed."""
        async with self.unit_of_work.begin() as tx:
            letter = await _waiting(tx, letter_id)
            place = uuid7()
            words = Sealing(letter.request_id or letter_id, "explanation", "given_up", said.explanation.encode(), place)
            await tx.vault.seal(tx.connection, [words], tx.now)
            await delivered.given_up(tx, self.letters, letter_id, place, caller.actor)

    @staticmethod
    async def _page(tx: UnitOfWork, letter_id: UUID, request_id: UUID | None, caller: Caller) -> Page | None:
        """Returns the page of a letter; None: it is not rendered yet. A digest goes to the recipient that it names."""
        sealed = await tx.vault.open_one(tx.connection, letter_id)
        letter = opened(sealed) if sealed else None
        if not isinstance(letter, NoticeText):
            return None
        if request_id is None:
            await recipient_digests.note_reading(tx, letter_id, caller)
            return Page(letter_id, letter.html, (letter.to or "").split(", ")[:LINES])
        [(_, _, address), *_] = await tx.vault.open_kind(tx.connection, request_id, delivery.POSTAL)
        detail = {"letter_id": str(letter_id), "holder": caller.holder}
        tx.log_evidence(request_id, "letter.printed", detail, caller.actor)
        return Page(letter_id, letter.html, orjson.loads(address))


async def _waiting(tx: UnitOfWork, letter_id: UUID) -> Delivery:
    letter = await delivery.read(tx.connection, letter_id)
    if letter is None:
        raise NotFound("no such letter, or one that is fetched by whoever it is for")
    if letter.state not in _WAITS:
        raise IllegalTransition(f"the letter is {letter.state.replace('_', ' ')}")
    return letter
