"""Before a breach is closed: two persons have judged its risk, and whoever had to be told was (Art. 33(1), 34)."""

from collections.abc import Sequence

from services.intake.breach import telling
from services.intake.breach.breaches import Breach
from services.intake.breach.telling import Judged
from services.intake.errors import NotReady
from shared.storage.postgres import Connection


async def must_be_no_risk(connection: Connection, breach: Breach, *, judged: bool) -> None:
    """Checks that two persons have judged that it puts nobody at risk; ``judged``: also where nobody has judged it yet.

    That its risk is not high (Art. 34) says nothing of whether there is one (Art. 33(1)).

    Raises:
        NotReady: its risk is to be judged yet, there is one, or how it was judged last waits for a second person.
    """
    last = await telling.judged_last(connection, breach.breach_id)
    if last is None and judged:
        raise NotReady(
            "nobody has judged the risk: propose that there is none (Art. 33(1)), and have a second person agree (once"
            " the 72 hours are over, also of what was none); why nobody had to be told is documented (Art. 33(5))"
        )
    if last is not None:
        _must_be_of_now(last)
    if last is not None and not (last.no_risk and last.agreed):
        raise NotReady(
            "its risk was judged, and two persons do not agree that there is none (Art. 33(1)), which is more than that"
            " it is not high (Art. 34): have them judge it anew, or tell the authority"
        )


async def must_be_settled(connection: Connection, breach: Breach, told: Sequence[str]) -> None:
    """Checks that it is decided whether the persons are told, and that each of them was.

    Raises:
        NotReady: it is not, a letter is on its way or waits for a person, or nobody has told those whom none reaches.
    """
    last = await telling.judged_last(connection, breach.breach_id)
    if last is not None:
        _must_be_of_now(last)
    if last is None or not last.agreed:
        raise NotReady("two persons have yet to decide whether the persons are told (Art. 34)")
    written = await telling.letters_of(connection, breach.breach_id)
    if under_way := [each.request_id for each in written if each.state in {"waiting", "person"}]:
        which = f"{len(under_way)} letters to the persons are not delivered, the first of request {under_way[0]}"
        raise NotReady(f"{which}: wait until they are, or see to them under Letters")
    if not last.high_risk or last.exemption in {"protected", "averted"} or "persons" in told:
        return
    reached = bool(written) and all(each.state in {"sent", None} for each in written)
    if last.exemption == "disproportionate" or not reached:
        raise NotReady("the persons were not told: note the notice to them, whoever gave it (Art. 34(1), 34(3)(c))")


def _must_be_of_now(judged: Judged) -> None:
    """Checks that the breach is still what was judged; raises ``NotReady``."""
    if judged.void_at:
        raise NotReady(
            "what has happened was stated otherwise since the risk was judged: judge it anew, and have a second person"
            " agree"
        )
