"""Records that services could not handle, and topics that they have paused: what lies there, and letting them go on."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake import set_aside
from services.intake.console.console import Console, Works, local, person_of
from services.intake.console.decisions.decision import Asked, Decision, Subject, at_once, saying
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.lists import Row, Table, show
from services.intake.console.roles import Power
from services.intake.errors import NotFound
from services.intake.set_aside import Resumed, ServiceStanding, TopicSetAside
from services.intake.web.site import Visit
from shared.domain.topics import ServiceName
from shared.messaging.hearing_again import Broken, Order

_BACK = "/set-aside"
FAULTS: Mapping[Broken, str] = {
    "broker_away": "the broker did not answer",
    "not_allowed": "the broker does not let it read them",
}
REPLAY = Decision(
    name="replay",
    title="Let it hear again what it has set aside",
    power=Power.ADMINISTER,
    when=lambda subject: not subject.row[0].is_at_it,
    does=saying(
        "The service hears each record once more, within seconds if it runs; remove first what it broke on.",
        "What it has handled meanwhile has no second effect. What it cannot handle now either stays where it is.",
    ),
    do=at_once(lambda tx, subject, _: set_aside.hear_again(tx, subject.row[0].service, subject.person.caller)),
)
RESUME = Decision(
    name="resume",
    title="Let it read the topic again",
    power=Power.ADMINISTER,
    when=lambda subject: subject.row[1].paused_at is not None,
    does=saying(
        "The service goes on where it stopped, within seconds; remove first what it broke on.",
        "If too much is set aside again it pauses again, and nothing is lost meanwhile.",
    ),
    body=Resumed,
    asks=(
        Asked(
            "besides",
            "How many records nobody can read lie there",
            "number",
            "So many more may be set aside in the next 24 hours; 0, if left out",
        ),
    ),
    do=at_once(
        lambda tx, subject, said: set_aside.read_again(
            tx, subject.row[0].service, subject.row[1].topic, said, subject.person.caller
        )
    ),
)


def routes(console: Console) -> list[BaseRoute]:
    """The lists, and a page for each decision."""
    pages = SetAsidePages(console.works)
    return [
        console.private(_BACK, pages.show, Power.SEE),
        *routes_of(console, "/set-aside/{service}", [REPLAY], pages.of_service),
        *routes_of(console, "/set-aside/{service}/{topic}", [RESUME], pages.of_topic),
    ]


@dataclass(frozen=True)
class SetAsidePages:
    """The pages of what was set aside."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """Which service could not handle what, and which topic does it leave alone?"""
        person = person_of(visit)
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = [await set_aside.standing(connection, service) for service in ServiceName]
        services, topics = [], []
        for each in found:
            subject = Subject(self.works, person, row=(each, None))
            links = offered(subject, f"{_BACK}/{each.service}", [REPLAY])
            services.append(Row((each.service, *self._told(each.order)), links))
            for topic in each.topics:
                of_topic = Subject(self.works, person, row=(each, topic))
                cells = (each.service, topic.topic, str(topic.number), local(self.works, topic.since))
                links = offered(of_topic, f"{_BACK}/{each.service}/{topic.topic}", [RESUME])
                topics.append(Row((*cells, local(self.works, topic.paused_at) or "no"), links))
        lead = (
            "A record that a service cannot handle is set aside, and everything else goes on. Its words are not shown."
        )
        return show(
            visit,
            "Set aside",
            [
                Table(
                    "Set aside within a day",
                    f"{lead} Of too many within a day the service pauses the topic.",
                    ("Service", "Topic", "Records", "Since", "Paused", "Decide"),
                    topics,
                    "Nothing was set aside.",
                ),
                Table(
                    "Heard again",
                    "A service hears again by itself what it has set aside, once somebody says so.",
                    ("Service", "Last ordered", "What came of it", "Decide"),
                    services,
                    "No service has started yet.",
                ),
            ],
        )

    def _told(self, order: Order | None) -> tuple[str, str]:
        if order is None:
            return "–", "–"
        return f"{order.asked_by}, {local(self.works, order.asked_at)}", _result(order)

    async def of_service(self, visit: Visit) -> About:
        """The service that the address names."""
        standing = await self._standing(visit)
        ordered, result = self._told(standing.order)
        facts = [("Last ordered", ordered), ("What came of it", result)]
        return About(Subject(self.works, person_of(visit), row=(standing, None)), standing.service, _BACK, facts)

    async def of_topic(self, visit: Visit) -> About:
        """The topic that the address names, as that service reads it."""
        standing, name = await self._standing(visit), visit.request.path_params["topic"]
        topic = next((each for each in standing.topics if each.topic == name), None)
        if topic is None:
            raise NotFound("that service has set aside nothing of such a topic")
        row: tuple[ServiceStanding, TopicSetAside] = (standing, topic)
        facts = [("Service", standing.service), ("Set aside within a day", str(topic.number))]
        return About(Subject(self.works, person_of(visit), row=row), topic.topic, _BACK, facts)

    async def _standing(self, visit: Visit) -> ServiceStanding:
        service = set_aside.service_of(visit.request.path_params["service"])
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            return await set_aside.standing(connection, service)


def _result(order: Order) -> str:
    """What came of an order, in words."""
    if order.done_at is None:
        return "being done" if order.begun_at else "the service has not begun"
    told = [f"{order.heard} handled"]
    for number, words in (
        (order.refused, "cannot be handled now either"),
        (order.unreadable, "have no content"),
        (order.left_alone, "are of a topic that it leaves alone"),
    ):
        told += [f"{number} {words}"] if number else []
    return "; ".join([*told, *([FAULTS[order.fault]] if order.fault else [])])
