"""Which other requests of the same person restrict their data when a restriction is lifted, for the letter about it."""

from services.intake.request.aggregate import Transition
from shared.domain.events import LiftDecided
from shared.domain.sentences import Lines, say
from shared.storage.postgres import Connection

# The same person by what is proved of them, as in ``same_person``; what amendment keeps of whom a restriction covers
# may know of more, so the letters also say that whatever else restricts stays.
_IN_FORCE = """
SELECT o.request_id, o.received_at FROM request r JOIN request o ON o.request_id <> r.request_id
   AND (o.proved_account = r.proved_account
        OR o.proved_email = r.proved_email AND (o.proved_account IS NULL OR r.proved_account IS NULL))
WHERE r.request_id = $1 AND o."right" IN ('restriction', 'objection', 'rectification')
  AND o.lift_told_at IS NULL AND o.lifted_at IS NULL
  AND jsonb_path_exists(coalesce(o.tasks, '[]'), '$[*] ? (@.operation == "restrict" && @.outcome == "amended")')
ORDER BY o.received_at
"""


async def told(connection: Connection, transition: Transition) -> Lines:
    """What a letter of this transition says of them; nothing if it lifts nothing, or nothing else restricts."""
    if not any(isinstance(event, LiftDecided) for event in transition.published):
        return Lines()
    rows = await connection.fetch(_IN_FORCE, transition.request.request_id)
    return Lines(tuple(say("restriction.stays_for", reference=str(row[0]), received_on=row[1]) for row in rows))
