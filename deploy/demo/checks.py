"""Looks in the data itself, past every adapter, whether what the demonstration shows is so."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from deploy.demo.company import Company, Customer
from deploy.demo.company.calls import device_address
from deploy.demo.estate import ANALYTICS, CDR, CRM, TICKETING, Estate
from deploy.demo.report import Report
from deploy.demo.requests import SubmittedRequest
from deploy.demo.traces import Seeker, signs
from deploy.local import postgres_databases as databases
from shared.domain.rights import Right

_CALLS = """
SELECT (SELECT count(*) FROM acc_cdrs
         WHERE $1 IN (caller_e164, callee_e164, pai) AND start_time >= $2 AND start_time < $3)
     + (SELECT count(*) FROM acc WHERE $1 IN (src_e164, dst_e164, src_pai) AND time >= $2 AND time < $3)
     + (SELECT count(*) FROM missed_calls WHERE $1 IN (src_e164, dst_e164, src_pai) AND time >= $2 AND time < $3)
"""
_MAY_HOLD = frozenset({f"{CDR}: public.acc_cdrs", f"{CDR}: public.restricted_number"})
"""Tables in which signs of an erased person may remain: calls that a rule keeps, and their restrictions."""
_EVER = datetime.max.replace(tzinfo=UTC)

Traces = Mapping[str, Counter[str]]
"""Counts of signs by place, for each customer code."""


class Inspector:
    """Counts what is left of people in the four systems, and in the platform's own database, topics and logs."""

    def __init__(self, estate: Estate, company: Company, logs: Path, report: Report) -> None:
        self._estate, self._company, self._logs, self._report = estate, company, logs, report
        self._places = {customer.code: place for place, customer in enumerate(company.customers)}
        erasures = [part for part in company.cast if part.right is Right.ERASURE]
        self._people = [person for part in erasures for person in (part.person, *part.neighbours)]
        self._before: Mapping[str, tuple[int, int]] = {}
        self._now: Mapping[str, tuple[int, int]] = {}
        self._found: Traces = {}

    async def remember(self) -> None:
        """Counts what there is of the people who will be erased, and of their neighbours."""
        await self._seek(CRM, ANALYTICS)
        self._before = await self._belongings()

    async def look(self) -> None:
        """Searches every system again."""
        await self._seek(CRM, ANALYTICS, CDR)
        self._now = await self._belongings()

    async def check(self, request: SubmittedRequest) -> None:
        """Reports what an erasure has left, and whether restricted calls are hidden from agents."""
        part, person = request.part, request.part.person
        if part.right is Right.RESTRICTION:
            kept, seen = await self._calls_of(person), await self._calls_of(person, self._estate.cdr.reader)
            self._report.find(seen == 0 < kept, f"{kept} call rows are kept, and an agent sees {seen} of them")
        if part.right is not Right.ERASURE:
            return
        found = self._found[person.code]
        left_over = {place for place in found if place not in _MAY_HOLD and not (part.keeps and CRM in place)}
        rows, others = self._before[person.code]
        words = f"of {rows:,} call rows and {others} others a dump of each system has no sign"
        words += " but in what is kept" if part.keeps or not part.keeps_no_calls else ""
        self._report.find(others > 0 and not left_over, f"{words}: {', '.join(left_over)}" if left_over else words)
        left, seen = self._now[person.code][0], await self._calls_of(person, self._estate.cdr.reader)
        words = f"{left:,} calls are kept by a rule; an agent sees {seen} of them"
        self._report.find(bool(left) is not part.keeps_no_calls and not seen, words)
        for neighbour in part.neighbours:
            before, now = self._before[neighbour.code], self._now[neighbour.code]
            self._report.find(before == now, f"{sum(now):,} rows of {neighbour.name} ({neighbour.code}) are untouched")

    async def check_platform(self) -> None:
        """Reports whether the platform's own tables, topics and logs hold a sign of anybody, in any encoding."""
        people = [part.person for part in self._company.cast if part.person.code]
        seeker = Seeker({person.code: self._signs(person) for person in people}, encoded=True)
        await seeker.in_postgres(self._estate.dsn, "database: ")
        seeker.in_files(self._logs, *self._estate.own_files, system="files: ")
        own = sorted({place for places in seeker.found.values() for place in places})
        words = "the platform's own tables, topics and logs hold no sign of any customer"
        self._report.find(not own, words + (f": {', '.join(own)}" if own else ""))

    async def _calls_of(self, person: Customer, dsn: str | None = None) -> int:
        """Counts the call rows of a person in the periods of their numbers: all of them, or those an agent sees."""
        found = 0
        for phone in person.phones:
            period = (phone.valid_from.replace(tzinfo=None), (phone.valid_to or _EVER).replace(tzinfo=None))
            found += (await databases.fetch(dsn or self._estate.cdr.admin, _CALLS, phone.number, *period))[0][0]
        return found

    async def _belongings(self) -> Mapping[str, tuple[int, int]]:
        """Counts by customer code their call rows, and their rows and files elsewhere."""
        return {
            person.code: (
                await self._calls_of(person),
                sum(n for place, n in self._found[person.code].items() if not place.startswith(CDR)),
            )
            for person in self._people
        }

    def _signs(self, person: Customer) -> frozenset[str]:
        return signs(person, self._company.customers, [device_address(self._places[person.code])])

    async def _seek(self, *databases_of: str) -> None:
        estate = self._estate
        dsns = {CRM: estate.crm.dsn, ANALYTICS: estate.analytics.admin, CDR: estate.cdr.admin}
        seeker = Seeker({person.code: self._signs(person) for person in self._people})
        for system in databases_of:
            await seeker.in_postgres(dsns[system], f"{system}: ")
        seeker.in_sqlite(estate.ticketing.database, f"{TICKETING}: ")
        seeker.in_files(estate.ticketing.files, system=f"{TICKETING}: ")
        self._found = seeker.found
