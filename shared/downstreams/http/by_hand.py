"""What a person does in a system whose interface cannot erase it: told once, and looked for again when they have."""

import re
from collections.abc import Iterator

from shared.domain.errors import AnswerMalformed, CannotLookAgain, NotSupported
from shared.downstreams.http.declaration import Declaration
from shared.downstreams.http.plan import Plan, Target
from shared.downstreams.http.requests import Look
from shared.downstreams.http.search import Found
from shared.downstreams.http.templates import in_text

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What may stand in a command that a person runs: nothing that a shell, or a search, reads as anything but a name."""


_AT_A_TIME = 100
"""How many records one command names."""


def look_key(name: str, place: int) -> str:
    """Under which key a plan notes of which records a request of ``verify`` has shown that they are gone."""
    return f"{name}.look{place}"


def look_by_search(declaration: Declaration, plan: Plan, found: Found) -> None:
    """Notes what a search that was made anew does not show any more, where a search is all by which one can look."""
    for name, targets in plan.noted.targets.items():
        resource = declaration.resource[name]
        if resource.by_hand and isinstance(resource.verify, Look) and not resource.verify.ask:
            gone = [target.id for target in targets if (name, str(target.id)) not in found.hits]
            plan.noted.handled[look_key(name, 0)] = gone


def must_be_whole(system: str, declaration: Declaration, plan: Plan) -> None:
    """Raises where a part of what was found cannot be erased there, or nobody can look at it again.

    Raises:
        NotSupported: a person does it, and is told how where the declaration says it.
        CannotLookAgain: it was told to, and nothing shows whether it did.
        AnswerMalformed: an id is none that could stand in what they are told.
    """
    left = [name for name in reversed(declaration.order) if _left(declaration, plan, name)]
    told = [how for name in left for how in _told(system, declaration, plan, name)]
    unseen = [name for name in plan.noted.targets if declaration.resource[name].erase and not _seen(declaration, name)]
    if left:
        said = f"{system} has no way to erase {', '.join(left)}: do it there, and enter what was done"
        raise NotSupported(f"{said}; GET …/manual-steps says how" if told else said, told)
    if unseen:
        said = f"{system} was told to erase {', '.join(unseen)} and shows nobody whether it did"
        raise CannotLookAgain(f"{said}: look there, and enter what was done")


def _seen(declaration: Declaration, name: str) -> bool:
    return declaration.resource[name].verify is not False


def _left(declaration: Declaration, plan: Plan, name: str) -> list[Target]:
    """The records of one resource that a person must erase, and of which nothing has shown that they are gone."""
    resource = declaration.resource[name]
    targets = plan.noted.targets.get(name, [])
    if resource.erase:
        return []
    if not isinstance(resource.verify, Look):
        return targets
    keys = [look_key(name, place) for place in range(len(resource.verify.ask) or 1)]
    shown = {target.id for key in keys for target in plan.left(name, key)}
    return [target for target in targets if target.id in shown]


def _told(system: str, declaration: Declaration, plan: Plan, name: str) -> Iterator[str]:
    """Each step about one resource, with the ids of the records that it is about."""
    left = _left(declaration, plan, name)
    paths = {each: declaration.resource[each].id for each in declaration.above(name)}
    for place, way in enumerate(declaration.resource[name].by_hand):
        known = [plan.ids(target, paths) for target in left if target.by_hand == place]
        if not all(_ID.fullmatch(str(value)) for values in known for value in values.values()):
            raise AnswerMalformed(f"{system} has a {name} whose id could not stand in a command: look there")
        if way.each is None:
            yield from (in_text(way.do, values) for values in known)
            continue
        each = [in_text(way.each, values) for values in known]
        for start in range(0, len(each), _AT_A_TIME):
            yield in_text(way.do, {"each": way.between.join(each[start : start + _AT_A_TIME])})
