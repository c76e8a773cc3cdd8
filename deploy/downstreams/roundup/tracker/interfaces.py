# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, S608
"""Adds REST routes that an erasure (Art. 17) needs: retired records, and the history.

Roundup keeps the old value of every changed field in its journal, and offers no way to remove one person's rows. These
routes do; they ask for the permission `Forget`. Bodies are JSON objects:

    POST rest/privacy/people   {"addresses": […], "phones": [digits, …]}   the people who have one of them
    POST rest/privacy/records  {"people": [id, …], "staff": [role, …]}     what is theirs: {class: [[id, person], …]}
    POST rest/privacy/others   {"people": [id, …], "staff": [role, …]}     what third parties wrote on their tickets
    POST rest/privacy/history  {"records": {class: [id, …]}}               rows of the history: {class: {id: rows}}
    POST rest/privacy/changes  {"records": {class: [id, …]}, "staff": [role, …]}   what those rows say (`former.py`)
    POST rest/privacy/forget   {"records": {class: [id, …]}}               removes those rows
    POST rest/privacy/values   {"records": {class: [id, …]}, "fields": {class: [field, …]}}
                               what the records say now, retired or not: {class: {id: {field: text}}}
    POST rest/privacy/overwrite {"records": [{"class", "id", "of": [person, …], "values": {field: text}, "retire"}, …],
                                "staff": [role, …]}
                               gives them other values, and retires them, in one transaction; answers which were left
                               as they were: {"left": [[position, "passed on" or "refused"], …]}
    POST rest/privacy/past     {"field", "before", "after": id}   tickets, also retired ones, whose field is before it:
                               {"tickets": [up to 500 ids after that one], "rows": how many tickets there are}
    POST rest/privacy/expire   {"tickets": [id, …], "field", "before"}   removes those of them that are still before it,
                               with what hangs on them alone and with their history: {"gone": [id, …]}

A ticket's requester owns their own messages on it and those of staff. `staff` lists the roles of staff. Messages and
files of third parties belong to their authors.
"""

import secrets
import sqlite3

from privacy.former import changes
from privacy.ownership import OTHERS, belongings, chunks, hanging, those_with
from privacy.writing import change, check_version_and_hold, draw_id_within, open_and_wipe, remove, transaction, whole
from roundup.backends import back_sqlite
from roundup.date import Date as Moment
from roundup.exceptions import RoundupException, Unauthorised
from roundup.hyperdb import Date
from roundup.password import Password as Secret
from roundup.rest import RestfulInstance, Routing, UsageError, _data_decorator

CLASSES = ("user", "issue", "msg", "file", "query")
back_sqlite.Database.sql_open_connection = open_and_wipe
back_sqlite.Database.newid = draw_id_within
RestfulInstance.raise_if_no_etag = check_version_and_hold


def asked(instance, payload, key):
    """Return a member of the body, if the user has the permission."""
    if not instance.db.security.hasPermission("Forget", instance.db.getuid()):
        raise Unauthorised("Permission to look into histories denied")
    value = getattr(payload, "json_dict", {}).get(key)
    if value is None:
        raise UsageError(f"The body must be a JSON object with {key!r}")
    return value


def rows_of(instance, payload):
    """The history of the records that the body names: {class: {id: rows}}."""
    found = {}
    for classname, ids in asked(instance, payload, "records").items():
        if classname not in CLASSES:
            raise UsageError("No such class")
        found[classname] = {}
        for chunk in chunks(ids):
            instance.db.sql(
                f"select nodeid, count(*) from {classname}__journal where nodeid in ({chunk}) group by nodeid"
            )
            found[classname] |= {str(row[0]): row[1] for row in instance.db.cursor.fetchall()}
    return found


@Routing.route("/privacy/people", "POST")
@_data_decorator
def people(self, input_payload):
    """The people, retired ones too, who have one of the addresses in any case, or a number that ends like one."""
    addresses = {address.casefold() for address in asked(self, input_payload, "addresses")}
    phones = tuple(asked(self, input_payload, "phones"))
    fields = ("username", "realname", "address", "alternate_addresses", "phone")
    self.db.sql(f"select id, {', '.join('_' + field for field in fields)} from _user order by id")
    found = []
    for identity, *values in self.db.cursor:
        person = dict(zip(fields, values, strict=True))
        has = {(person["address"] or "").casefold(), *(person["alternate_addresses"] or "").casefold().split()}
        digits = "".join(filter(str.isdigit, person["phone"] or ""))
        if addresses & has or (phones and digits.endswith(phones)):
            found.append({"id": str(identity), **person})
    return 200, {"collection": found}


@Routing.route("/privacy/records", "POST")
@_data_decorator
def records(self, input_payload):
    """List records that belong to people, including retired ones."""
    roles = asked(self, input_payload, "staff")
    return 200, belongings(self.db, asked(self, input_payload, "people"), roles)


@Routing.route("/privacy/others", "POST")
@_data_decorator
def others(self, input_payload):
    """List what third parties wrote or sent on people's tickets."""
    roles = asked(self, input_payload, "staff")
    return 200, belongings(self.db, asked(self, input_payload, "people"), roles, OTHERS)


@Routing.route("/privacy/values", "POST")
@_data_decorator
def values(self, input_payload):
    """Return the values of records; missing records are left out."""
    fields, found = asked(self, input_payload, "fields"), {}
    for classname, ids in asked(self, input_payload, "records").items():
        if classname not in CLASSES:
            raise UsageError("No such class")
        records = self.db.getclass(classname)
        found[classname] = {
            one: {field: records.get(one, field) for field in fields[classname]} for one in ids if records.hasnode(one)
        }
    return 200, found


@Routing.route("/privacy/overwrite", "POST")
@_data_decorator
def overwrite(self, input_payload):
    """Overwrite each record that still belongs to the named person; a refusal concerns that record only.

    An overwritten user gets a random password.
    """
    records, db, left = asked(self, input_payload, "records"), self.db, []
    roles = asked(self, input_payload, "staff")
    if not all(record["class"] in CLASSES for record in records):
        raise UsageError("No such class")
    unknown = Secret(secrets.token_urlsafe(32), config=db.config)
    with transaction(db):
        people = {person for record in records for person in record["of"]}
        owned = {("user", person, person) for person in people}
        owned |= {(classname, *row) for classname, rows in belongings(db, people, roles).items() for row in rows}
        for position, record in enumerate(records):
            if not any((record["class"], record["id"], person) in owned for person in record["of"]):
                left.append([position, "passed on"])
                continue
            try:
                with whole(db):
                    change(db, record, unknown)
            except (RoundupException, ValueError, LookupError, TypeError, sqlite3.IntegrityError):
                left.append([position, "refused"])
    return 200, {"left": left}


@Routing.route("/privacy/history", "POST")
@_data_decorator
def history(self, input_payload):
    """Count the rows of records' history."""
    return 200, rows_of(self, input_payload)


@Routing.route("/privacy/changes", "POST")
@_data_decorator
def changes_of(self, input_payload):
    """Give the history of records."""
    records, db, found = asked(self, input_payload, "records"), self.db, {}
    staff = set(those_with(db, asked(self, input_payload, "staff")).split(","))
    for classname, ids in records.items():
        if classname not in CLASSES:
            raise UsageError("No such class")
        there = (one for one in ids if db.getclass(classname).hasnode(one))
        found[classname] = {one: changes(db, classname, one, staff, CLASSES) for one in there}
    return 200, found


@Routing.route("/privacy/forget", "POST")
@_data_decorator
def forget(self, input_payload):
    """Remove the history of records, and the sessions of unused names, also from the files."""
    removed = rows_of(self, input_payload)
    for classname, ids in removed.items():
        for chunk in chunks(ids):
            self.db.sql(f"delete from {classname}__journal where nodeid in ({chunk})")
    self.db.commit()
    sessions = self.db.getSessionManager()
    names = {self.db.user.get(one, "username") for one in self.db.user.getnodeids()}
    for key in sessions.list():
        if sessions.get(key, "user", default=None) not in names:
            sessions.destroy(key)
    sessions.commit()
    self.db.conn.execute("pragma wal_checkpoint(truncate)")
    return 200, removed


def before(db, payload):
    """A condition on the tickets that the body means, and its values."""
    field, moment = payload.json_dict["field"], payload.json_dict["before"]
    if not isinstance(db.issue.getprops().get(field), Date):
        raise UsageError("No such date of a ticket")
    return f"_{field} is not null and _{field} < ?", (Moment(moment).serialise(),)


@Routing.route("/privacy/past", "POST")
@_data_decorator
def past(self, input_payload):
    """The tickets that are past a time, in pages."""
    after = int(asked(self, input_payload, "after"))
    where, values = before(self.db, input_payload)
    self.db.sql(f"select id from _issue where {where} and id > ? order by id limit 500", (*values, after))
    tickets = [str(row[0]) for row in self.db.cursor.fetchall()]
    self.db.sql("select count(*) from _issue")
    return 200, {"tickets": tickets, "rows": self.db.cursor.fetchone()[0]}


@Routing.route("/privacy/expire", "POST")
@_data_decorator
def expire(self, input_payload):
    """Remove tickets, each whole or not at all; one that was opened again meanwhile stays."""
    tickets, db, gone = asked(self, input_payload, "tickets"), self.db, []
    with transaction(db):
        where, values = before(db, input_payload)
        for ticket in tickets:
            db.sql(f"select 1 from _issue where {where} and id = ?", (*values, int(ticket)))
            if db.cursor.fetchone() is None:
                continue
            with whole(db):
                for classname, one in hanging(db, ticket):
                    remove(db, classname, one)
                db.sql("delete from issue_superseder where linkid = ?", (int(ticket),))
                remove(db, "issue", ticket)
            gone.append(ticket)
    db.conn.execute("pragma wal_checkpoint(truncate)")
    return 200, {"gone": gone}
