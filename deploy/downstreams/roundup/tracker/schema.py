# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, F821
"""Defines what the tracker stores and who may see it; Roundup provides `db`, `Class`, `String` and the like."""

priority = Class(db, "priority", name=String(), order=Number())
priority.setkey("name")
status = Class(db, "status", name=String(), order=Number())
status.setkey("name")
keyword = Class(db, "keyword", name=String())
keyword.setkey("name")
Class(db, "query", klass=String(), name=String(), url=String(), private_for=Link("user"))
user = Class(
    db,
    "user",
    username=String(),
    password=Password(),
    address=String(),
    realname=String(),
    phone=String(),
    organisation=String(),
    alternate_addresses=String(),
    queries=Multilink("query"),
    roles=String(),
    timezone=String(),
    restricted=Boolean(),
    marketing_opt_out=Boolean(),
)
user.setkey("username")
FileClass(
    db,
    "msg",
    author=Link("user", do_journal="no"),
    recipients=Multilink("user", do_journal="no"),
    date=Date(),
    summary=String(),
    files=Multilink("file"),
    messageid=String(),
    inreplyto=String(),
)
FileClass(db, "file", name=String())
IssueClass(
    db,
    "issue",
    requester=Link("user"),
    assignedto=Link("user"),
    keyword=Multilink("keyword"),
    priority=Link("priority"),
    status=Link("status"),
    dsr_request=String(),
    resolved_on=Date(),
)


def restricted(db, person):
    """Whether the processing of this person's data is restricted."""
    return bool(person) and bool(db.user.get(person, "restricted"))


def open_user(db, userid, itemid):
    """Oneself, or a person whose processing is not restricted."""
    return userid == itemid or not restricted(db, itemid)


def open_ticket(db, _userid, itemid):
    """Whether the requester of a ticket is not restricted."""
    return not restricted(db, db.issue.get(itemid, "requester"))


def open_message(db, userid, itemid):
    """Whether neither the author of a message nor the requester of its tickets is restricted."""
    on = db.issue.find(messages=itemid)
    return not restricted(db, db.msg.get(itemid, "author")) and all(open_ticket(db, userid, ticket) for ticket in on)


def open_file(db, userid, itemid):
    """The same for a file."""
    on = db.issue.find(files=itemid)
    return not restricted(db, db.file.get(itemid, "creator")) and all(open_ticket(db, userid, ticket) for ticket in on)


# The permission that the routes of interfaces.py ask for.
db.security.addPermission(name="Forget", description="May look into the history of a person's records and remove it")
db.security.addRole(name="Privacy", description="The platform that answers data subject requests")
for role in ("User", "Privacy"):
    for access in ("Web Access", "Rest Access"):
        db.security.addPermissionToRole(role, access)
    for classname in ("priority", "status", "keyword", "query"):
        db.security.addPermissionToRole(role, "View", classname)
for classname, check in {"user": open_user, "issue": open_ticket, "msg": open_message, "file": open_file}.items():
    for action in ("View", "Edit"):
        permission = db.security.addPermission(name=action, klass=classname, check=check)
        if (action, classname) != ("Edit", "user"):
            db.security.addPermissionToRole("User", permission)
    db.security.addPermissionToRole("User", db.security.addPermission(name="Search", klass=classname))
for classname in ("issue", "msg", "file"):
    db.security.addPermissionToRole("User", "Create", classname)
for classname in ("user", "issue", "msg", "file", "query"):
    db.security.addPermissionToRole("Privacy", db.security.addPermission(name="Restore", klass=classname))
    for action in ("View", "Edit", "Create", "Retire"):
        db.security.addPermissionToRole("Privacy", action, classname)
db.security.addPermissionToRole("Privacy", "Forget")
db.security.addPermissionToRole("Anonymous", "Web Access")
