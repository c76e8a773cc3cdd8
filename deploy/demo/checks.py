"""Checks what must be true when all requests are closed, in the data itself and not by what the product says."""

import hashlib
import io
import json
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from deploy.demo.company import Company, Customer
from deploy.demo.company.calls import device_address
from deploy.demo.estate import ANALYTICS, CDR, CRM, TICKETING, Estate
from deploy.demo.report import Report
from deploy.demo.requests import SubmittedRequest
from deploy.demo.traces import Seeker, signs
from deploy.local import postgres_databases as databases
from shared.domain.clock import SystemClock
from shared.domain.policy import Policy, first_kept
from shared.domain.rights import Outcome, Right

_CALLS = """
SELECT (SELECT count(*) FROM acc_cdrs
         WHERE $1 IN (caller_e164, callee_e164, pai) AND start_time >= $2 AND start_time < $3)
     + (SELECT count(*) FROM acc WHERE $1 IN (src_e164, dst_e164, src_pai) AND time >= $2 AND time < $3)
     + (SELECT count(*) FROM missed_calls WHERE $1 IN (src_e164, dst_e164, src_pai) AND time >= $2 AND time < $3)
"""
_KEPT = """
SELECT count(*) FROM acc_cdrs
 WHERE $1 IN (caller_e164, callee_e164, pai)
   AND start_time >= greatest($2::timestamp, $4::timestamp) AND start_time < $3
   AND (callee_e164 = $1 OR (callid, src_ip, user_agent) = ('', '', ''))
"""
_RULE_OF_CALLS = "calls_us_18m"
_MAY_HOLD = frozenset(
    f"{CDR}: {table}" for table in ("public.acc_cdrs", "public.restricted_number", "dsr_platform.kept")
)
"""Where signs of an erased person may be left: calls that a rule keeps, and what restricts them."""
_IN_CRM = """
SELECT p.restricted, (SELECT count(*) FROM party_contact_mechanism AS c WHERE c.party = p.id)
  FROM party_party AS p WHERE p.code = $1
"""
_EVER = datetime.max.replace(tzinfo=UTC)

Traces = Mapping[str, Counter[str]]
"""By customer code, every place that has a sign of them, and how many."""


class Inspector:
    """Looks into the four systems, the platform's own database, its broker and its logs."""

    def __init__(self, estate: Estate, company: Company, logs: Path, policy: Policy, report: Report) -> None:
        self._estate, self._company, self._logs, self._policy, self._report = estate, company, logs, policy, report
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
        """Reports whether a request was fulfilled in the data."""
        match request.part.right:
            case Right.ERASURE:
                await self._erasure(request)
            case Right.ACCESS | Right.PORTABILITY if request.part.expected is not Outcome.NO_DATA:
                self._package(request)
            case Right.RECTIFICATION:
                await self._corrected(request)
            case Right.RESTRICTION:
                await self._flagged(request, "restricted")
                kept, seen = await self._calls_of(request.part.person), await self._seen_of(request.part.person)
                self._report.find(seen == 0 < kept, f"{kept} call rows are kept, and an agent sees {seen} of them")
            case Right.OBJECTION | Right.CONSENT_WITHDRAWAL if not request.part.message:  # it is erased since
                await self._flagged(request, "marketing_opt_out")
            case _:
                pass

    async def check_platform(self) -> None:
        """Reports whether the platform's own tables, topics and logs hold a sign of anybody, in any encoding."""
        people = [part.person for part in self._company.cast if part.person.code]
        seeker = Seeker({person.code: self._signs(person) for person in people}, encoded=True)
        await seeker.in_postgres(self._estate.dsn, "database: ")
        seeker.in_files(self._logs, *self._estate.own_files, system="files: ")
        own = sorted({place for places in seeker.found.values() for place in places})
        words = "the platform's own tables, topics and logs hold no sign of any customer"
        self._report.find(not own, words + (f": {', '.join(own)}" if own else ""))

    async def _erasure(self, request: SubmittedRequest) -> None:
        part, person = request.part, request.part.person
        found = self._found[person.code]
        left_over = {place for place in found if place not in _MAY_HOLD and not (part.keeps and CRM in place)}
        rows, others = self._before[person.code]
        words = f"of {rows:,} call rows and {others} others a dump of each system has no sign"
        words += " but in what is kept" if part.keeps or not part.keeps_no_calls else ""
        self._report.find(others > 0 and not left_over, f"{words}: {', '.join(left_over)}" if left_over else words)
        left, kept, seen = self._now[person.code][0], await self._kept_of(person), await self._seen_of(person)
        words = f"{left:,} calls are left, {kept:,} of them of the last 18 months and reduced; an agent sees {seen}"
        self._report.find(left == kept and bool(kept) is not part.keeps_no_calls and not seen, words)
        if part.keeps:
            await self._kept_in_crm(request, part.keeps)
        for neighbour in part.neighbours:
            before, now = self._before[neighbour.code], self._now[neighbour.code]
            self._report.find(before == now, f"{sum(now):,} rows of {neighbour.name} ({neighbour.code}) are untouched")

    async def _kept_in_crm(self, request: SubmittedRequest, rule: str) -> None:
        """By that rule alone: what a period keeps is reduced and restricted, what a state keeps is in use."""
        [(restricted, contacts)] = await databases.fetch(self._estate.crm.dsn, _IN_CRM, request.part.person.code)
        tasks = [each for each in request.view["tasks"] if (each["system"], each["operation"]) == (CRM, "erase")]
        rules = {kept["rule"] for each in tasks for kept in each.get("kept") or ()}
        reduced = self._policy.rules[rule].period is not None
        words = (
            f"by {rule} the CRM keeps the party with {contacts} contacts, {'restricted' if restricted else 'in use'}"
        )
        self._report.find((bool(restricted), contacts > 0, rules) == (reduced, not reduced, {rule}), words)

    def _package(self, request: SubmittedRequest) -> None:
        if not request.package:
            self._report.find(holds=False, words="there is no package")
            return
        with zipfile.ZipFile(io.BytesIO(request.package)) as archive:
            text = "".join(archive.read(name).decode() for name in archive.namelist())
            records = [json.loads(line) for line in archive.read("data.jsonl").splitlines()]
            told = json.loads(archive.read("package.json"))["files"]
            whole = all(hashlib.sha256(archive.read(name)).hexdigest() == said["sha256"] for name, said in told.items())
        systems = {record["system"] for record in records}
        others = {phone.number[1:] for other in request.part.neighbours for phone in other.phones}
        shown = [number for number in others if number in text]
        words = f"{len(records)} records from {', '.join(sorted(systems))}, and every file is as package.json says"
        words += ", and no number that was withheld" if others else ""
        self._report.find(systems >= {CRM, CDR, TICKETING} and whole and not shown, words)

    async def _corrected(self, request: SubmittedRequest) -> None:
        [change] = request.part.asks["changes"]
        query = "SELECT count(*) FROM party_contact_mechanism WHERE active AND lower(value) = $1"
        values = (change["current"], change["asserted"])
        crm = [(await databases.fetch(self._estate.crm.dsn, query, value))[0][0] for value in values]
        tracker = [self._ticketing("SELECT count(*) FROM _user WHERE lower(_address) = ?", value) for value in values]
        self._report.find(crm == tracker == [0, 1], "CRM and ticketing show the new address alone")

    async def _flagged(self, request: SubmittedRequest, flag: str) -> None:
        code = request.part.person.code
        query = f"SELECT count(*) FROM party_party WHERE code = $1 AND {flag}"  # noqa: S608  # a name of ours
        [(crm,)] = await databases.fetch(self._estate.crm.dsn, query, code)
        tracker = self._ticketing(f"SELECT count(*) FROM _user WHERE _username = ? AND _{flag}", code)  # noqa: S608
        self._report.find(crm == tracker == 1, f"marked as {flag.replace('_', ' ')} in CRM and ticketing")

    async def _calls_of(self, person: Customer, query: str = _CALLS, dsn: str | None = None, *more: object) -> int:
        """How many call rows are theirs, by the periods in which they held their numbers."""
        found = 0
        for phone in person.phones:
            period = (phone.valid_from.replace(tzinfo=None), (phone.valid_to or _EVER).replace(tzinfo=None))
            found += (await databases.fetch(dsn or self._estate.cdr.admin, query, phone.number, *period, *more))[0][0]
        return found

    async def _seen_of(self, person: Customer) -> int:
        """How many call rows of theirs an agent sees (Art. 18)."""
        return await self._calls_of(person, dsn=self._estate.cdr.reader)

    async def _kept_of(self, person: Customer) -> int:
        """How many calls of an erased person a rule keeps that hold nothing but what it needs."""
        rule = self._policy.rules[_RULE_OF_CALLS]
        zone = ZoneInfo(self._policy.zone_of(rule))  # its days begin there
        first = first_kept(rule.period, SystemClock().now().astimezone(zone).date()) if rule.period else date.max
        since = datetime.combine(first, time(), zone).astimezone(UTC).replace(tzinfo=None)
        return await self._calls_of(person, _KEPT, None, since)

    async def _belongings(self) -> Mapping[str, tuple[int, int]]:
        """By customer code, how many call rows, and how many rows and files elsewhere, are theirs."""
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

    def _ticketing(self, query: str, value: str) -> int:
        with closing(sqlite3.connect(self._estate.ticketing.database)) as connection:
            return int(connection.execute(query, (value,)).fetchone()[0])
