"""Teams on the bus that answer by hand, so that a test can have them say anything."""

from collections.abc import Sequence

import orjson
from pydantic import JsonValue

from shared.domain.topics import Message
from shared.systems.bus.settings import BusSettings
from shared.systems.contract import Result, Task
from tests.contract.adapter_stands import Engine, erasure_of
from tests.contract.bus_stand import EVERYTHING, BusStand
from tests.fixtures.wire import check

ADA = "ada@example.com"
AGREED = BusSettings.model_validate(
    {**EVERYTHING, "ask_again_s": 5, "ask_again_max_s": 15, "grounds": ["tax_law"], "reasons": ["unpaid_invoice"]}
)


class Silent(BusStand):
    """A team that reads tasks and does not answer."""

    async def publish(self, messages: Sequence[Message]) -> None:
        check(*messages)
        self.published.extend(messages)

    def answer(self, **said: JsonValue) -> None:
        """Answer the last command by hand."""
        asked = orjson.loads(self.published[-1].value)
        same = {name: asked[name] for name in ("command_id", "task_id", "operation")}
        self.replies.append(orjson.dumps({"type": "dsr.task.replied.v1", **same, **said}))


class Asked(Engine):
    """A task that was sent to a team which answers by hand."""

    def __init__(self, silent: Silent, task: Task | None = None) -> None:
        super().__init__(silent)
        self.team, self.task = silent, task or erasure_of(silent, ADA)

    async def again(self) -> Result:
        """Returns the adapter's result for the replies so far."""
        [result] = await self.once([self.task])
        return result

    async def replied(self, **said: JsonValue) -> Result:
        """Answers as the team; returns the adapter's result."""
        self.team.answer(**said)
        self.team.hear(self.progress)
        return await self.again()
