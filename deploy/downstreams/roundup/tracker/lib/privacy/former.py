# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202
"""Reads the history of a record: who changed it when, and what it said before."""

from roundup.hyperdb import Link, Multilink, Password


def changes(db, classname, identity, staff, unnamed):
    """Returns the history of a record, oldest first, in rows: [time, user, whether staff, action, former values].

    A link is a list of [sign, class, id, name]; what is of one of the classes `unnamed` has no name. A password is left
    out, and so is a field or a class that the tracker does not have any more.
    """
    fields = db.getclass(classname).getprops()

    def link(sign, of, one):
        records = db.getclass(of)
        named = of not in unnamed and records.hasnode(one)
        return [sign, of, str(one), records.get(one, records.labelprop()) if named else None]

    def former(field, value):
        kind = fields[field]
        if isinstance(kind, Multilink):
            return [link(sign, kind.classname, one) for sign, ids in value or () for one in ids]
        if isinstance(kind, Link):
            return [link("", kind.classname, value)] if value else []
        return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)

    found = []
    for _, moment, user, action, said in db.getjournal(classname, identity):
        if isinstance(said, dict):
            known = (name for name in said if name in fields and not isinstance(fields[name], Password))
            values = {name: former(name, said[name]) for name in known}
        else:  # another record links to this one, or does so no more
            values = {said[2]: [link("", said[0], said[1])]} if said and said[0] in db.classes else {}
        found.append([str(moment), str(user), str(user) in staff, action, values])
    return found
