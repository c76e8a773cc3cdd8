# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, S608
"""What an erasure (Art. 17) needs of the tracker beyond its REST interface: records that are retired, and the history.

Roundup keeps the old value of every changed field in its journal, and offers no way to remove one person's rows. These
routes do; they ask for the permission `Forget`. Bodies are JSON objects:

    POST rest/privacy/people   {"addresses": […], "phones": [digits, …]}   the people who have one of them
    POST rest/privacy/records  {"people": [id, …]}                         what is theirs: {class: [[id, person], …]}
    POST rest/privacy/history  {"records": {class: [id, …]}}               rows of the history: {class: {id: rows}}
    POST rest/privacy/forget   {"records": {class: [id, …]}}               removes those rows
"""

import itertools

from roundup.backends import back_sqlite
from roundup.exceptions import Unauthorised
from roundup.rest import Routing, UsageError, _data_decorator

CLASSES = ("user", "issue", "msg", "file", "query")
# Whose a record is: rows of (id of the record, id of the person).
BELONGS = {
    "issue": """
        select id, coalesce(_requester, _creator) from _issue where coalesce(_requester, _creator) in ({people})""",
    "msg": """
        select m.linkid, i._requester from issue_messages m join _issue i on i.id = m.nodeid
        where i._requester in ({people})
        union select id, _author from _msg where _author in ({people})""",
    "file": """
        select f.linkid, i._requester from issue_files f join _issue i on i.id = f.nodeid
        where i._requester in ({people})
        union select f.linkid, m._author from msg_files f join _msg m on m.id = f.nodeid where m._author in ({people})
        union select id, _creator from _file where _creator in ({people})""",
    "query": """
        select id, coalesce(_private_for, _creator) from _query where coalesce(_private_for, _creator) in ({people})""",
}
open_connection = back_sqlite.Database.sql_open_connection


def open_and_wipe(self, dbname=None):
    """Open the database so that what is deleted is overwritten in the file too."""
    connection, cursor = open_connection(self, dbname)
    cursor.execute("pragma secure_delete = on")
    return connection, cursor


back_sqlite.Database.sql_open_connection = open_and_wipe


def asked(instance, payload, key):
    """What the body says under a key, for those who may."""
    if not instance.db.security.hasPermission("Forget", instance.db.getuid()):
        raise Unauthorised("Permission to look into histories denied")
    value = getattr(payload, "json_dict", {}).get(key)
    if value is None:
        raise UsageError(f"The body must be a JSON object with {key!r}")
    return value


def chunks(ids):
    """Ids as SQL lists of a bounded length; only digits pass."""
    ids = iter(sorted({int(one) for one in ids}))
    while chunk := list(itertools.islice(ids, 500)):
        yield ",".join(map(str, chunk))


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
    """What belongs to people, retired records too."""
    found = {classname: [] for classname in BELONGS}
    for chunk in chunks(asked(self, input_payload, "people")):
        for classname, statement in BELONGS.items():
            self.db.sql(statement.format(people=chunk))
            found[classname] += [[str(row[0]), str(row[1])] for row in self.db.cursor.fetchall()]
    return 200, found


@Routing.route("/privacy/history", "POST")
@_data_decorator
def history(self, input_payload):
    """How many rows the history of records has."""
    return 200, rows_of(self, input_payload)


@Routing.route("/privacy/forget", "POST")
@_data_decorator
def forget(self, input_payload):
    """Remove the history of records, and the sessions of names that nobody has any more; from the files as well."""
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
