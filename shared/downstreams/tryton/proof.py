"""Which of the parties that a search returned are proven to be the subject.

Nothing is ever done to a party that is not. In the order of their weight:

- The customer number decides. If the CRM itself gave it earlier (``locate``), it decides alone. If the requester said
  it, some e-mail address or number must agree, unless the subject or the party has none. Others who share one are left
  alone. Account ids of other systems mean nothing here.
- Without one, a single party that holds the e-mail address is the subject; a single party that holds only the number
  is, unless its e-mail addresses differ from the subject's: numbers are shared and re-assigned.
- If several parties hold an address or number, only the one that holds one of every kind that the subject gave.

A number counts while it is assigned: an identity with a period needs a period that overlaps, one without needs a number
that is still assigned. A former holder is nobody's match. Whatever is left over is a ``ForeignHit``.
"""

from collections.abc import Iterable, Sequence

from shared.domain.errors import ForeignHit
from shared.domain.identities import Identity, IdentityType
from shared.downstreams.tryton.party import Contact, Party


def proven(system: str, identities: Sequence[Identity], hits: Iterable[Party]) -> tuple[Party, ...]:
    """The parties that are the subject's; raises ``ForeignHit`` where the hits could be somebody else's."""
    codes = {i.value for i in identities if i.type is IdentityType.ACCOUNT_ID and i.source in {"requester", system}}
    certain = {i.value for i in identities if i.type is IdentityType.ACCOUNT_ID and i.source == system}
    seen = [_Seen(party, identities) for party in hits]
    if by_code := [s for s in seen if s.party.code in codes]:
        if any(s.contradicted and s.party.code not in certain for s in by_code):
            raise ForeignHit("the customer number belongs to a party with other addresses and numbers")
        return tuple(s.party for s in by_code)
    holders = [s for s in seen if s.agrees]
    if not holders:
        return ()
    if codes:
        raise ForeignHit("no party has the customer number, and another holds an address or number of the subject's")
    if len(holders) > 1:
        holders = [s for s in holders if s.agrees_in_all]
    if len(holders) != 1:
        raise ForeignHit("several parties hold an address or number of the subject's, and none holds all alone")
    if not holders[0].email and holders[0].email_differs:
        raise ForeignHit("a party with other e-mail addresses holds a number of the subject's")
    return (holders[0].party,)


class _Seen:
    """A party beside the subject's identities."""

    def __init__(self, party: Party, identities: Sequence[Identity]) -> None:
        self.party = party
        emails = [i for i in identities if i.type is IdentityType.EMAIL]
        phones = [i for i in identities if i.type is IdentityType.PHONE]
        held = {
            kind: [c for c in party.contacts if c.type is kind] for kind in (IdentityType.EMAIL, IdentityType.PHONE)
        }
        self.email = _any_holds(held[IdentityType.EMAIL], emails)
        self.phone = _any_holds(held[IdentityType.PHONE], phones)
        self.email_differs = bool(emails and held[IdentityType.EMAIL]) and not self.email
        self._phone_differs = bool(phones and held[IdentityType.PHONE]) and not self.phone
        self.agrees = self.email or self.phone
        self.agrees_in_all = self.agrees and (self.email or not emails) and (self.phone or not phones)
        self.contradicted = not self.agrees and (self.email_differs or self._phone_differs)


def _any_holds(contacts: Sequence[Contact], identities: Sequence[Identity]) -> bool:
    return any(_holds(contact, identity) for contact in contacts for identity in identities)


def _holds(contact: Contact, identity: Identity) -> bool:
    if contact.spelled != identity.value:
        return False
    if identity.type is not IdentityType.PHONE:
        return True
    if identity.valid_from is None and identity.valid_to is None:
        return contact.valid_to is None
    begins_in_time = contact.valid_from is None or identity.valid_to is None or contact.valid_from < identity.valid_to
    ends_in_time = contact.valid_to is None or identity.valid_from is None or identity.valid_from < contact.valid_to
    return begins_in_time and ends_in_time
