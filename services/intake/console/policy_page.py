"""Policy: which rule holds and who has signed it, who is told, and what the last night has left by it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake import sweeps
from services.intake.console.console import Console, Works
from services.intake.console.lists import Link, Row, Table, show
from services.intake.console.roles import Power
from services.intake.errors import NotFound
from services.intake.sweeps import Sweep
from services.intake.web.site import Visit
from shared.domain.policy import Policy, read_policy
from shared.domain.policy.explaining import explained, open_points

_TO_DO: Final = "Nothing is open: every rule is signed, and every category has one."
_DURATION: Final = re.compile(r"P(\d+)([DWMY])")
_COUNTS: Final = ("due", "gone", "spared", "missed", "undetermined")
_UNITS: Final = {"D": "day", "W": "week", "M": "month", "Y": "year"}


def routes(console: Console) -> list[BaseRoute]:
    """The policy, and one category of it."""
    page = PolicyPage(console.works)
    return [
        console.private("/policy", page.policy, Power.SEE),
        console.private("/policy/{category}", page.category, Power.SEE),
    ]


@dataclass(frozen=True)
class PolicyPage:
    """The pages of what is decided beforehand."""

    works: Works

    @property
    def _policy(self) -> Policy:
        return self.works.services.processing

    @property
    def _today(self) -> date:
        return self._policy.today(self.works.services.unit_of_work.clock.now())

    async def policy(self, visit: Visit) -> Response:
        """Which rules hold, who has signed them, and what is still open?"""
        policy, today = self._policy, self._today
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            swept = await sweeps.listed(connection)
        points = open_points(policy, read_policy(), today)
        all_of = {name: explained(policy, name, today) for name in sorted(policy.categories)}
        rules = {name: rule for each in all_of.values() for name, rule in each["kept_by"].items()}
        ceilings = {name: each for said in all_of.values() for name, each in said["ceilings"].items()}
        return show(
            visit,
            f"Policy, version {policy.version}",
            [
                Table("Still open", "", ["What"], [Row([each]) for each in points], _TO_DO),
                Table(
                    "Categories of data",
                    "",
                    ["Category", "What it is", "In an erasure", "Kept by", "Told to"],
                    [_category_row(name, each) for name, each in all_of.items()],
                    "None.",
                ),
                _rules("Rules that keep", "Without a valid sign-off a rule keeps nothing.", rules, "None."),
                _ceilings("What is older goes by night, once they are signed.", ceilings, "None."),
                Table(
                    "Recipients",
                    "",
                    ["Recipient", "Role", "Country", "Safeguard", "Data"],
                    [
                        Row([each.name, each.role, each.country, each.safeguard or "–", _listed(each.categories)])
                        for _, each in sorted(policy.recipients.items())
                    ],
                    "No recipient is declared: people are told that the policy names none.",
                ),
                Table(
                    "What the last night left",
                    "Rows past a ceiling, by the table of a system that holds them. Law unknown: past another country's"
                    " maximum, and nothing says whose law they are under; they stay until the maximum for everybody.",
                    [
                        "System",
                        "Table",
                        "Category",
                        "Ceiling",
                        "State",
                        "Due",
                        "Gone",
                        "Spared",
                        "Missed",
                        "Law unknown",
                    ],
                    [_sweep_row(each) for each in swept],
                    "No table has a ceiling, or no night has passed.",
                ),
            ],
            [Link("/systems", "Systems")],
        )

    async def category(self, visit: Visit) -> Response:
        """What does the policy say of one category?"""
        try:
            said = explained(self._policy, visit.request.path_params["category"], self._today)
        except KeyError:
            raise NotFound("the policy has no such category") from None
        facts = [
            Row(["What it is", said["words"]]),
            Row(["Systems call it", _listed(said["held_as"])]),
            Row(["Provided by", _listed([said["provided_by"]])]),
            Row(["Portable", "yes" if said["portable"] else "no"]),
            Row(["In an erasure", _spelled(said["on_erasure"])]),
            Row(["In the notice", "; ".join(said["notice"]) or "–"]),
            Row(["Conflicts", "; ".join(said["conflicts"]) or "none"]),
        ]
        purposes = [
            Row([name, each["words"], _spelled(each["basis"]), each["role"]]) for name, each in said["purposes"].items()
        ]
        told = [Row([e["name"], e["role"], e["country"], e["safeguard"] or "–"]) for e in said["recipients"].values()]
        return show(
            visit,
            f"Category: {_spelled(said['category'])}",
            [
                Table("What is decided", "", ["Point", "Decided"], facts, "Nothing."),
                Table("Purposes", "", ["Purpose", "What for", "Basis", "Role"], purposes, "None."),
                _rules("Rules that keep it", "", said["kept_by"], "Nothing keeps it."),
                _ceilings("", said["ceilings"], "None: nothing but an erasure removes it."),
                Table("Recipients", "", ["Recipient", "Role", "Country", "Safeguard"], told, "Nobody."),
            ],
            [Link("/policy", "Policy")],
        )


def _category_row(name: str, said: Mapping[str, Any]) -> Row:
    told = _listed(each["name"] for each in said["recipients"].values())
    kept = _listed(said["kept_by"])
    return Row([Link(f"/policy/{name}", _spelled(name)), said["words"], _spelled(said["on_erasure"]), kept, told])


def _rules(title: str, lead: str, rules: Mapping[str, Any], none: str) -> Table:
    columns = ["Rule", "What it is", "For", "Ground", "Source", "Signed"]
    return Table(title, lead, columns, [_rule_row(name, each) for name, each in sorted(rules.items())], none)


def _ceilings(lead: str, ceilings: Mapping[str, Any], none: str) -> Table:
    columns = ["Ceiling", "What it is", "At most", "Then", "Source", "Signed"]
    return Table("Ceilings", lead, columns, [_ceiling_row(name, each) for name, each in sorted(ceilings.items())], none)


def _rule_row(name: str, said: Mapping[str, Any]) -> Row:
    lasts = _period(said["period"]) or f"while {_spelled(said['lasts_while'] or '–')}"
    ground = f"Art. {said['ground']}" if said["ground"] else "–"
    return Row([name, said["words"], lasts, ground, said["legal_source"] or "–", said["sign_off"]])


def _ceiling_row(name: str, said: Mapping[str, Any]) -> Row:
    then = _spelled(said["then"])
    return Row(
        [name, said["words"], _period(said["period"]) or "–", then, said["legal_source"] or "–", said["sign_off"]]
    )


def _sweep_row(swept: Sweep) -> Row:
    counts = [str(getattr(swept, name)) for name in _COUNTS]
    named = [swept.system, swept.table_name, _spelled(swept.category), swept.ceiling, _spelled(swept.state)]
    return Row([*named, *counts])


def _period(written: str | None) -> str | None:
    """A duration as it is read: ``P18M`` is 18 months."""
    found = _DURATION.fullmatch(written or "")
    if found is None:
        return written
    number = int(found[1])
    return f"{number} {_UNITS[found[2]]}{'' if number == 1 else 's'}"


def _listed(words: Any) -> str:
    return ", ".join(_spelled(each) for each in sorted(map(str, words))) or "–"


def _spelled(word: object) -> str:
    return str(word).replace("_", " ")
