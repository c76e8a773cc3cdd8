"""Errors of intake; the first sentence of each docstring is the title of its problem."""

from shared.domain.errors import DsrError


class Unauthorised(DsrError):
    """No valid API key was given; send ``Authorization: Bearer dsr_…`` with a key that has not been revoked."""


class Forbidden(DsrError):
    """The API key is valid, and its role does not allow this."""


class NotFound(DsrError):
    """There is nothing here for this key; check the id, and whether this key submitted it."""


class IdempotencyKeyReused(DsrError):
    """The idempotency key was used before with another body; use a new key for a new request."""


class PreconditionRequired(DsrError):
    """A decision must name the version of the request that it is made for; send its ``ETag`` as ``If-Match``."""


class PreconditionFailed(DsrError):
    """The request has changed since the version that this was decided for; read it again."""


class TooLarge(DsrError):
    """The body is too large."""


class UnsupportedType(DsrError):
    """The media type or encoding of the body is not supported."""


class TooManyCalls(DsrError):
    """There were too many calls; wait as long as ``Retry-After`` says, and send it again."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(DsrError):
    """The platform has as much under way as it can hold; wait as long as ``Retry-After`` says, and send it again."""

    retry_after = 1.0


class Expired(DsrError):
    """It was kept for as long as it may be, and is gone."""


class NotReady(DsrError):
    """It does not exist yet; ask again when the request is closed."""


class ResultGiven(DsrError):
    """Another result was given for this command before; what was given first stays."""


class SamePerson(DsrError):
    """A second person must approve it."""


class Withheld(DsrError):
    """The package is withheld: a person must look before it is handed out; nothing else need be done."""


class ExtensionRefused(DsrError):
    """The time limit cannot be extended in this way; the dates stay as they were."""


class BadRequest(DsrError):
    """The request cannot be understood; ``field``: the one that is wrong, if one is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class EventRefused(DsrError):
    """An event of a user takes no effect; it becomes a dead letter with the reason."""


class MalformedEvent(EventRefused):
    """It is no event that can be read; the message names the field, and quotes nothing of it."""


class NotDeclared(EventRefused):
    """The file of emitters does not let this one say that."""


class OrderUnknown(EventRefused):
    """The order of events about a number is unknown: they are in several partitions."""


class SubjectUnknown(EventRefused):
    """No identities were posted for that subject token."""


class SubjectExpired(EventRefused):
    """The identities behind the subject token were kept for as long as they may be, and are gone."""


class SubjectUsed(EventRefused):
    """The subject token was good for one event, which was handled."""


class EventIdReused(EventRefused):
    """Another event came under its id from its source: one of them was worked, and this one is not."""


class SubjectOfAnother(EventRefused):
    """The subject token is another service's."""
