"""Reads requests for authorised callers, and bundles the policies that actions need."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from services.intake.access import auth
from services.intake.access.auth import Caller
from services.intake.core.errors import Forbidden, NotFound
from services.intake.core.instants import Instants
from services.intake.identity.proving import ProofEvaluator
from services.intake.letters import delivery_queue, sealed_letters
from services.intake.letters.letter_facts import LetterFacts
from services.intake.mail.use_cases import MailUseCases
from services.intake.request.aggregate import Request
from services.intake.request.delivery_effects import SENT_CHANNELS
from services.intake.request.lifecycle import State
from services.intake.request.reasons import Reasons
from services.intake.reviews.holds import Holds
from services.intake.settings import IntakeSettings
from services.intake.store import other_requests, repository
from shared.domain.errors import Shredded
from shared.domain.proofs import IdentityPolicy
from shared.domain.rights import Right
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class UseCases:
    """Policies and unit of work of the actions; each read raises ``NotFound`` for an unauthorised caller."""

    unit_of_work: UnitOfWorkFactory
    policy: TimeLimitPolicy
    letters: LetterFacts
    identity: IdentityPolicy
    instants: Instants
    reasons: Reasons
    settings: IntakeSettings
    holds: Holds
    mail: MailUseCases

    @property
    def proof_evaluator(self) -> ProofEvaluator:
        """Turns stated proof into levels."""
        return ProofEvaluator(self.identity, self.instants)

    async def read(self, request_id: UUID, caller: Caller) -> Request:
        """Returns the request, for the channel that submitted it and for the privacy team."""
        async with self.unit_of_work.pool.acquire() as connection:
            return await visible(connection, await repository.read(connection, request_id), caller)

    async def awaited(self, request: Request) -> list[UUID]:
        """Returns the open requests of the same person for which an erasure, or what a consent kept, waits."""
        may_wait = request.postponed or request.right is Right.CONSENT_WITHDRAWAL
        if not may_wait or request.state is State.CLOSED:
            return []
        async with self.unit_of_work.pool.acquire() as connection:
            return (await other_requests.waits_of(connection, [request.request_id])).get(request.request_id, [])

    async def repeated(self, request: Request) -> list[other_requests.DuplicateRequest]:
        """Returns the other open requests of the same person for the same, if it is open."""
        if request.state is State.CLOSED:
            return []
        async with self.unit_of_work.pool.acquire() as connection:
            return await other_requests.duplicates_of(connection, request.request_id)

    async def case_of(self, request: Request) -> list[Request]:
        """Returns the requests of the same message, including itself; empty if it came alone."""
        if request.case_id is None:
            return []
        async with self.unit_of_work.pool.acquire() as connection:
            return await repository.read_case(connection, request.case_id)

    async def read_letters(self, request_id: UUID, caller: Caller, code: str | None) -> list[dict[str, object]]:
        """Returns the letters of a request, for callers with its code, the privacy team and the channel it came by.

        A closed erasure leaves the channel nothing to know the requester by, so there it needs the code.

        Raises ``Forbidden``, ``Shredded``.
        """
        async with self.unit_of_work.begin() as tx:
            request = await repository.read(tx.connection, request_id)
            shown = caller.role == "channel" and sealed_letters.is_letter_code(tx.vault.keyring, request_id, code or "")
            shown = shown and request is not None and request.tenant == caller.grant.tenant
            shown = shown and request is not None and request.channel not in SENT_CHANNELS  # whose code no letter has
            shown = shown or caller.proved_request == request_id
            if request is None or not shown:
                request = await visible(tx.connection, request, caller)
            if request.forgets_its_subject and not shown and caller.role != "privacy":
                raise Forbidden("after an erasure the letters are read with their code, or by the privacy team")
            coming = await delivery_queue.request_texts(tx, request)
        if coming:
            await delivery_queue.wait_for_texts(self.unit_of_work, request_id)
        async with self.unit_of_work.begin() as tx:
            return await sealed_letters.read_letters(tx, request, caller, by_code=shown)

    async def have_texts(self, request_id: UUID, caller: Caller) -> None:
        """Waits for a moment until every letter of a request has its text, which is rendered when first read."""
        with suppress(Shredded):
            async with self.unit_of_work.begin() as tx:
                request = await visible(tx.connection, await repository.read(tx.connection, request_id), caller)
                coming = await delivery_queue.request_texts(tx, request)
            if coming:
                await delivery_queue.wait_for_texts(self.unit_of_work, request_id)


async def _submitted_by(connection: Connection, request: Request, caller: Caller) -> bool:
    if request.tenant != caller.grant.tenant:
        return False
    return caller.proved_request == request.request_id or await auth.same_channel(connection, caller, request.key_id)


async def visible(connection: Connection, request: Request | None, caller: Caller) -> Request:
    """Returns the request, for the privacy team and for keys of the channel and tenant that submitted it.

    The portal also sees the request that its session has proved.
    """
    if request and (caller.role == "privacy" or await _submitted_by(connection, request, caller)):
        return request
    raise NotFound("no such request for this key")
