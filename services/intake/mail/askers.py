"""Who has asked for somebody else in the form of the portal, kept with each request that their message has become.

Nothing of it is proved, and no letter of the request goes there: a person answers their message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson

from services.intake.mail.incoming import Incoming
from shared.domain.errors import Shredded
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.vault import Sealing

_KIND: Final = "asker"


@dataclass(frozen=True, slots=True)
class Asker:
    """Whoever has asked, as they say, and the message by which they have."""

    mail_id: UUID
    name: str
    address: str


async def keep(tx: UnitOfWork, requests: Sequence[UUID], mail_id: UUID, content: Incoming) -> None:
    """Keeps who has asked, under the key of the correspondence of each request."""
    said = orjson.dumps({"name": content.name, "address": content.sender})
    await tx.vault.seal(tx.connection, [Sealing(each, _KIND, str(mail_id), said) for each in requests], tx.now)


async def of_request(tx: UnitOfWork, request_id: UUID) -> Asker | None:
    """Who has asked for somebody else; None: whoever asks does so for themselves, or it is kept no longer."""
    try:
        kept = await tx.vault.open_kind(tx.connection, request_id, _KIND)
    except Shredded:
        return None
    return next((Asker(UUID(source), **orjson.loads(said)) for _, source, said in kept), None)
