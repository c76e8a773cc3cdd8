# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, S608
"""Finds the owners of records, for many people in one statement."""

import itertools

# What stands on people's tickets, and who wrote it: the author of a message, and of a file the author of the messages
# that carry it, or else its uploader.
TICKETS = """
    with ticket as (select id, _requester as person from _issue where _requester in ({people})),
    message as (
        select w.id, t.person, coalesce(w._author, w._creator) as writer from ticket t
        join issue_messages m on m.nodeid = t.id join _msg w on w.id = m.linkid),
    attached as (
        select f.linkid as id, t.person from ticket t join issue_files f on f.nodeid = t.id
        union select c.linkid, m.person from message m join msg_files c on c.nodeid = m.id),
    paper as (
        select a.id, a.person, coalesce(w._author, w._creator, d._creator) as writer from attached a
        join _file d on d.id = a.id left join msg_files c on c.linkid = a.id left join _msg w on w.id = c.nodeid),
    third as (
        select 'msg' as class, id, person from message where writer <> person and writer not in ({staff})
        union select 'file', id, person from paper where writer <> person and writer not in ({staff}))"""
# Whose a record is: rows of (id of the record, id of the person).
BELONGS = {
    "issue": """
        select id, coalesce(_requester, _creator) from _issue where coalesce(_requester, _creator) in ({people})""",
    "msg": f"""{TICKETS}
        select id, person from message where (id, person) not in (select id, person from third where class = 'msg')
        union select id, _author from _msg where _author in ({{people}})""",
    "file": f"""{TICKETS}
        select id, person from attached where (id, person) not in (select id, person from third where class = 'file')
        union select f.linkid, m._author from msg_files f join _msg m on m.id = f.nodeid where m._author in ({{people}})
        union select id, _creator from _file where _creator in ({{people}})""",
    "query": """
        select id, coalesce(_private_for, _creator) from _query where coalesce(_private_for, _creator) in ({people})""",
}
OTHERS = {
    classname: f"{TICKETS} select id, person from third where class = '{classname}'" for classname in ("msg", "file")
}


def chunks(ids):
    """Ids as SQL lists of a bounded length; only digits pass."""
    ids = iter(sorted({int(one) for one in ids}))
    while chunk := list(itertools.islice(ids, 500)):
        yield ",".join(map(str, chunk))


def those_with(db, roles):
    """The ids of users who have one of the roles, as a SQL list."""
    wanted = {role.casefold() for role in roles}
    db.sql("select id, _roles from _user where _roles is not null")
    rows = db.cursor.fetchall()
    return ",".join(str(int(one)) for one, has in rows if wanted & {role.strip().casefold() for role in has.split(",")})


def belongings(db, people, roles, statements=BELONGS):
    """Return what belongs to people: {class: [[id, person], …]}; users with one of the roles are staff."""
    found = {classname: [] for classname in statements}
    staff = those_with(db, roles)
    for chunk in chunks(people):
        for classname, statement in statements.items():
            db.sql(statement.format(people=chunk, staff=staff))
            found[classname] += [[str(row[0]), str(row[1])] for row in db.cursor.fetchall()]
    return found


def hanging(db, ticket):
    """The messages and files of a ticket that hang on no other: [(class, id)]."""
    db.sql(
        """select 'msg', m.linkid from issue_messages m where m.nodeid = ?
               and not exists (select 1 from issue_messages o where o.linkid = m.linkid and o.nodeid <> m.nodeid)
           union select 'file', f.linkid from issue_files f where f.nodeid = ?
               and not exists (select 1 from issue_files o where o.linkid = f.linkid and o.nodeid <> f.nodeid)
           union select 'file', c.linkid from issue_messages m join msg_files c on c.nodeid = m.linkid
               where m.nodeid = ? and not exists (
                   select 1 from msg_files o join issue_messages n on n.linkid = o.nodeid
                   where o.linkid = c.linkid and n.nodeid <> m.nodeid)""",
        (int(ticket),) * 3,
    )
    return [(classname, str(one)) for classname, one in db.cursor.fetchall()]
