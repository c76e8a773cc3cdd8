"""What must be true when all requests are closed, looked up where the data lies and not where the product says so."""

import asyncio
import io
import json
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from deploy.demo.board import SubmittedRequest
from deploy.demo.company import Company, Customer
from deploy.demo.company.calls import device_address
from deploy.demo.estate import ANALYTICS, CDR, CRM, TICKETING, Estate
from deploy.demo.finding import Finding
from deploy.demo.traces import Seeker, signs
from deploy.local import postgres_databases as databases
from deploy.local.services import OVERLAY
from services.export import check as package_check
from shared.domain.clock import SystemClock
from shared.domain.policy import first_kept, read_policy
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
_MAY_HOLD = frozenset(
    f"{CDR}: {table}" for table in ("public.acc_cdrs", "public.restricted_number", "dsr_platform.kept")
)
"""Where a sign of somebody may be left: in calls that a rule keeps, and in what restricts them."""
_IN_CRM = """
SELECT p.restricted, (SELECT count(*) FROM party_contact_mechanism AS c WHERE c.party = p.id),
       (SELECT count(*) FROM party_address AS a WHERE a.party = p.id)
  FROM party_party AS p WHERE p.code = $1
"""
_EVER = datetime.max.replace(tzinfo=UTC)

Traces = Mapping[str, Counter[str]]
"""By customer code, every place where there is a sign of them, and how often."""

Belongings = Mapping[str, tuple[int, int]]
"""By customer code: so many call rows, and so many rows and files elsewhere, are theirs."""


class Inspector:
    """Looks into the four systems, the platform's own database, its broker and its logs."""

    def __init__(self, estate: Estate, company: Company, logs: Path) -> None:
        self._estate = estate
        self._company = company
        self._logs = logs
        self._position = {customer.code: index for index, customer in enumerate(company.customers)}
        erasures = [part for part in company.cast if part.right is Right.ERASURE]
        self._people = [person for part in erasures for person in (part.person, *part.neighbours)]
        self._before: Belongings = {}

    def remember(self) -> None:
        """Note what there is of those who will be erased, and of their neighbours, of whom nothing may change."""
        self._before = self._belongings(self._seek(calls=False))

    def inspect(self, requests: Sequence[SubmittedRequest]) -> Finding:
        """Add to every request what was found of it; what was found of all of them in the platform itself."""
        found = self._seek(calls=True)
        now = self._belongings(found)
        for request in requests:
            request.findings += [_closed_as_expected(request), *self._fulfilled(request, found, now)]
        own = sorted({place for places in self._own_traces().values() for place in places})
        words = "the platform's own tables, topics and logs hold no sign of anybody"
        return Finding(not own, words + (f": {', '.join(own)}" if own else ""))

    def _fulfilled(self, request: SubmittedRequest, found: Traces, now: Belongings) -> Iterator[Finding]:
        match request.part.right:
            case Right.ERASURE:
                yield from self._erasure(request, found, now)
            case Right.ACCESS | Right.PORTABILITY if request.part.expected is not Outcome.NO_DATA:
                yield self._package(request)
            case Right.RECTIFICATION:
                yield self._corrected(request)
            case Right.RESTRICTION:
                yield self._flagged(request, "restricted")
                yield self._hidden(request.part.person)
            case Right.OBJECTION | Right.CONSENT_WITHDRAWAL if not request.part.message:  # it is erased since
                yield self._flagged(request, "marketing_opt_out")
            case _:
                pass

    def _erasure(self, request: SubmittedRequest, found: Traces, now: Belongings) -> Iterator[Finding]:
        part, person = request.part, request.part.person
        may_hold = {place for place in found[person.code] if place in _MAY_HOLD or (part.keeps and CRM in place)}
        where = ", ".join(f"{place} ({count})" for place, count in sorted(found[person.code].items()))
        rows, others = self._before[person.code]
        told = f"of {rows:,} call rows and {others} others a dump of each system holds no sign"
        told += " but in what is kept" if part.keeps or not part.keeps_no_calls else ""
        whole = bool(others) and bool(rows) is not part.keeps_no_calls and may_hold == found[person.code].keys()
        yield Finding(whole, told if whole else f"{told}: {where}")
        left, kept = now[person.code][0], self._kept_of(person)
        told = f"{kept:,} calls of the last 18 months are left, reduced to the fields of the rule"
        seen = self._calls_of(person, self._estate.cdr.reader)
        holds = left == kept and bool(kept) is not part.keeps_no_calls and not seen
        told = f"{told}, and an agent sees {seen}" + ("" if left == kept else f": {left} rows are left")
        yield Finding(holds, "nothing is kept of any call" if part.keeps_no_calls and holds else told)
        if part.keeps:
            yield self._kept_in_crm(request, part.keeps)
        for neighbour in part.neighbours:
            rows, others = self._before[neighbour.code]
            told = f"{rows:,} call rows and {others} others of {neighbour.name} ({neighbour.code}) are untouched"
            same = now[neighbour.code] == (rows, others)
            yield Finding(same, told if same else f"{told}: now {now[neighbour.code]}")

    def _kept_in_crm(self, request: SubmittedRequest, rule: str) -> Finding:
        """By that rule alone: what a period keeps is reduced and restricted, what a state keeps is in use."""
        [(restricted, contacts, addresses)] = self._rows(self._estate.crm.dsn, _IN_CRM, request.part.person.code)
        [grounds] = [
            {kept["rule"] for kept in task.get("kept") or ()}
            for task in request.view["tasks"]
            if (task["system"], task["operation"]) == (CRM, "erase")
        ]
        reduced = read_policy(OVERLAY).rules[rule].period is not None
        as_it_must = (bool(restricted), contacts > 0, addresses > 0) == (reduced, not reduced, True)
        words = f"the CRM has {contacts} contacts, {addresses} address, {'restricted' if restricted else 'in use'}"
        return Finding(as_it_must and grounds == {rule}, words)

    def _package(self, request: SubmittedRequest) -> Finding:
        if not request.package:
            return Finding(holds=False, words="there is no package")
        with zipfile.ZipFile(io.BytesIO(request.package)) as archive:
            text = "".join(archive.read(name).decode() for name in archive.namelist())
            records = [json.loads(line) for line in archive.read("data.jsonl").splitlines()]
        systems = {record["system"] for record in records}
        others = {phone.number[1:] for other in request.part.neighbours for phone in other.phones}
        hidden = not any(number in text for number in others)
        faults = package_check.check(request.package).faults
        said = "all of Art. 15 is answered" if request.part.right is Right.ACCESS else "all of it is as its schema says"
        words = f"{len(records)} records from {', '.join(sorted(systems))}, each in its place, and {said}"
        words = "; ".join(faults) or words
        if others:
            words += ", and no number that was withheld"
        return Finding(systems >= {CRM, CDR, TICKETING} and hidden and not faults, words)

    def _corrected(self, request: SubmittedRequest) -> Finding:
        (change,) = request.part.asks["changes"]
        old, new = change["current"], change["asserted"]
        query = "SELECT count(*) FROM party_contact_mechanism WHERE active AND lower(value) = $1"
        crm = [self._fetch(self._estate.crm.dsn, query, value) for value in (old, new)]
        tracker = [
            self._ticketing("SELECT count(*) FROM _user WHERE lower(_address) = ?", value) for value in (old, new)
        ]
        return Finding(crm == [0, 1] and tracker == [0, 1], "CRM and ticketing show the new address alone")

    def _flagged(self, request: SubmittedRequest, flag: str) -> Finding:
        code = request.part.person.code
        crm = self._fetch(self._estate.crm.dsn, f"SELECT count(*) FROM party_party WHERE code = $1 AND {flag}", code)  # noqa: S608
        tracker = self._ticketing(f"SELECT count(*) FROM _user WHERE _username = ? AND _{flag}", code)  # noqa: S608
        return Finding((crm, tracker) == (1, 1), f"marked as {flag.replace('_', ' ')} in CRM and ticketing")

    def _hidden(self, person: Customer) -> Finding:
        """Whoever reads calls in their daily work sees none of a restricted person's (Art. 18)."""
        seen = self._calls_of(person, self._estate.cdr.reader)
        kept = self._calls_of(person)
        return Finding(seen == 0 < kept, f"{kept} call rows are kept, and an agent sees {seen} of them")

    def calls_of(self, person: Customer) -> tuple[int, int]:
        """So many call rows were theirs when that was noted, and so many are now."""
        return self._before[person.code][0], self._calls_of(person)

    def _calls_of(self, person: Customer, dsn: str | None = None) -> int:
        where = dsn or self._estate.cdr.admin
        held = ((phone.number, phone.valid_from, phone.valid_to or _EVER) for phone in person.phones)
        return sum(
            self._fetch(where, _CALLS, number, since.replace(tzinfo=None), until.replace(tzinfo=None))
            for number, since, until in held
        )

    def _kept_of(self, person: Customer) -> int:
        """How many calls a rule keeps of somebody who was erased, that hold nothing but what it needs."""
        policy = read_policy(OVERLAY)
        rule = policy.rules["calls_us_18m"]
        zone = ZoneInfo(policy.zone_of(rule))  # its days begin there
        first = first_kept(rule.period, SystemClock().now().astimezone(zone).date()) if rule.period else date.max
        since = datetime.combine(first, time(), zone).astimezone(UTC).replace(tzinfo=None)
        held = ((phone.number, phone.valid_from, phone.valid_to or _EVER) for phone in person.phones)
        return sum(
            self._fetch(self._estate.cdr.admin, _KEPT, n, begins.replace(tzinfo=None), ends.replace(tzinfo=None), since)
            for n, begins, ends in held
        )

    def _belongings(self, found: Traces) -> Belongings:
        return {
            person.code: (
                self._calls_of(person),
                sum(n for place, n in found[person.code].items() if not place.startswith(CDR)),
            )
            for person in self._people
        }

    def _signs(self, person: Customer) -> frozenset[str]:
        return signs(person, self._company.customers, [device_address(self._position[person.code])])

    def _seek(self, *, calls: bool) -> Traces:
        seeker = Seeker({person.code: self._signs(person) for person in self._people})
        asyncio.run(seeker.in_postgres(self._estate.crm.dsn, f"{CRM}: "))
        seeker.in_sqlite(self._estate.ticketing.database, f"{TICKETING}: ")
        seeker.in_files(self._estate.ticketing.files, system=f"{TICKETING}: ")
        asyncio.run(seeker.in_postgres(self._estate.analytics.admin, f"{ANALYTICS}: "))
        if calls:
            asyncio.run(seeker.in_postgres(self._estate.cdr.admin, f"{CDR}: "))
        return seeker.found

    def _own_traces(self) -> Traces:
        people = [part.person for part in self._company.cast if part.person.code]
        seeker = Seeker({person.code: self._signs(person) for person in people}, encoded=True)
        asyncio.run(seeker.in_postgres(self._estate.dsn, "database: "))
        seeker.in_files(self._logs, *self._estate.own_files, system="files: ")
        return seeker.found

    def _ticketing(self, query: str, *values: str) -> int:
        with closing(sqlite3.connect(self._estate.ticketing.database)) as connection:
            return int(connection.execute(query, values).fetchone()[0])

    @staticmethod
    def _rows(dsn: str, query: str, *values: object) -> Sequence[Any]:
        return databases.wait_for(databases.fetch(dsn, query, *values))

    def _fetch(self, dsn: str, query: str, *values: object) -> int:
        return int(self._rows(dsn, query, *values)[0][0])


def _closed_as_expected(request: SubmittedRequest) -> Finding:
    outcome, expected = request.view.get("outcome"), request.part.expected
    words = f"closed as {expected.replace('_', ' ')}"
    words = words if outcome == expected else f"{words}: it is {request.state}"
    return Finding(outcome == expected and request.certificate.holds, f"{words}; {request.certificate.words}")
