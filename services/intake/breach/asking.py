"""Who has asked: so that a letter about a breach goes to nobody twice, and not to the one who got the data; pure."""

from dataclasses import dataclass
from uuid import UUID

from services.intake.identity.same_person import NOBODY, Person, person
from services.intake.request.stored_request import StoredRequest
from shared.domain.identities import IdentityType
from shared.domain.levels import NOTHING
from shared.storage.keyring import Keyring
from shared.storage.subject_data import SubjectData


@dataclass(frozen=True, slots=True)
class Asker:
    """Who has asked a request, as far as it is known.

    ``case_id``: the first of the requests that came in the same message, or this one. ``addresses``: the e-mail
    addresses that they gave, proved or not. ``proved``: something of them is; also where nothing is left to tell by.
    """

    case_id: UUID
    person: Person
    addresses: frozenset[str]
    proved: bool

    def is_same(self, other: "Asker") -> bool:
        """Whether both are shown to be the same person, who need not be told twice."""
        return self.case_id == other.case_id or self.person.is_same(other.person)

    def is_of(self, other: "Asker") -> bool:
        """Whether a letter to the one may be read by the other."""
        return self.is_same(other) or not self.addresses.isdisjoint(other.addresses)


def asker_of(request: StoredRequest, known: SubjectData | None, keyring: Keyring) -> Asker:
    """Who has asked it; ``known``: None where that is gone."""
    case_id = request.case_id or request.request_id
    if known is None:
        return Asker(case_id, NOBODY, frozenset(), proved=True)
    stated = [each for each in known.identities if each.source == "requester"]
    addresses = frozenset(each.value for each in stated if each.type is IdentityType.EMAIL)
    proved = any(each.level > NOTHING for each in known.identities)
    return Asker(case_id, person(stated, keyring), addresses, proved)
