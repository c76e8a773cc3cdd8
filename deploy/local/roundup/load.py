# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201
"""Fills the tracker in the working directory from JSON lines on standard input, with Roundup's own API.

    {"person": {username, realname, address, alternate_addresses, phone, marketing_opt_out}}
    {"ticket": {requester, title, status, created, resolved, messages: [{by, date, content}],
                files: [{name, type, content}]}}

``requester`` is a username, ``by`` is one or ``agent``; a file's content is in base64.
"""

import base64
import json
import sys
from pathlib import Path

import roundup.instance
from roundup.date import Date

db = roundup.instance.open(str(Path.cwd())).open("admin")
db.tx_Source = "cli"
# Roundup commits for each new id. An interrupted load is thrown away, so nothing need reach the disk before its end.
db.conn.execute("pragma synchronous = off")
people = {"agent": db.user.lookup("agent")}
status = {db.status.get(one, "name"): one for one in db.status.list()}


def open_ticket(ticket):
    """Create one ticket with what hangs on it."""
    db.setCurrentUser("agent")
    texts = [
        db.msg.create(author=people[message["by"]], date=Date(message["date"]), content=message["content"])
        for message in ticket["messages"]
    ]
    papers = [
        db.file.create(name=file["name"], type=file["type"], content=base64.b64decode(file["content"]))
        for file in ticket["files"]
    ]
    case = db.issue.create(
        requester=people[ticket["requester"]],
        title=ticket["title"],
        status=status[ticket["status"]],
        resolved_on=Date(ticket["resolved"]) if ticket.get("resolved") else None,
        messages=texts,
        files=papers,
        nosy=[],
    )
    db.sql("update _issue set _creation = ? where id = ?", (Date(ticket["created"]).serialise(), int(case)))


for number, line in enumerate(sys.stdin, 1):
    record = json.loads(line)
    if "person" in record:
        person = {key: value for key, value in record["person"].items() if value is not None}
        people[person["username"]] = db.user.create(roles="", **person)
    else:
        open_ticket(record["ticket"])
    if number % 1000 == 0:
        db.commit()
        db.clearCache()
db.commit()
db.close()
