# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201
"""Writes records: deleted data are overwritten in the file too, and a record changes completely or not at all."""

import contextlib

from roundup.backends import back_sqlite
from roundup.hyperdb import Link, Password, String
from roundup.rest import RestfulInstance, UsageError

open_connection = back_sqlite.Database.sql_open_connection
draw_id = back_sqlite.Database.newid
check_version = RestfulInstance.raise_if_no_etag


def open_and_wipe(self, dbname=None):
    """Open the database so that what is deleted is overwritten in the file too."""
    connection, cursor = open_connection(self, dbname)
    cursor.execute("pragma secure_delete = on")
    return connection, cursor


def draw_id_within(self, classname):
    """The next id, also within a transaction (of a text new to the index): Roundup's own way ends it."""
    if not (getattr(self, "is_held", False) and self.conn.in_transaction):
        return draw_id(self, classname)
    self.sql("select num from ids where name = ?", (classname,))
    (number,) = self.cursor.fetchone()
    self.sql("update ids set num = num + 1 where name = ?", (classname,))
    return str(number)


def hold(db):
    """Begin an exclusive transaction and read everything again."""
    db.commit()
    db.clearCache()
    db.sql("begin immediate")
    db.is_held = True


def check_version_and_hold(self, class_name, item_id, input_payload, repr_format="json"):
    """Lock between the check of an item's version and its change; Roundup alone accepts concurrent changes.

    The request's own commit ends the lock, or its connection does.
    """
    hold(self.db)
    check_version(self, class_name, item_id, input_payload, repr_format=repr_format)


@contextlib.contextmanager
def transaction(db):
    """Run a block in an exclusive transaction, which always ends."""
    hold(db)
    try:
        yield
        db.commit()
    except BaseException:
        db.rollback()
        raise


@contextlib.contextmanager
def whole(db):
    """Change one record completely or not at all, whatever happens to others."""
    stored = len(db.transactions)
    db.sql("savepoint record")
    try:
        yield
    except BaseException:
        db.sql("rollback to record")
        for _, contents in db.transactions[stored:]:
            db.rollbackStoreFile(*contents)
        del db.transactions[stored:]
        db.clearCache()
        raise
    finally:
        db.sql("release record")


def change(db, record, unknown):
    """Give one record its new values, unless it has them, and retire it if so asked or if it was retired before."""
    records, identity = db.getclass(record["class"]), record["id"]
    if not all(isinstance(records.getprops()[field], (String, Link)) for field in record["values"]):
        raise UsageError("Only texts and links can be overwritten")
    retired = records.is_retired(identity)
    if any((records.get(identity, field) or "") != (value or "") for field, value in record["values"].items()):
        if retired:
            records.restore(identity)
            retired = False
            record = {**record, "retire": True}
        passwords = {field: unknown for field, kind in records.getprops().items() if isinstance(kind, Password)}
        records.set(identity, **record["values"], **passwords)
    if record.get("retire") and not retired:
        records.retire(identity)


def remove(db, classname, identity):
    """Remove a record, its history, what the index knows of it and, once that is committed, its file."""
    records = db.getclass(classname)
    for field, kind in records.getprops().items():
        if isinstance(kind, String) and kind.indexme:
            db.indexer.add_text((classname, identity, field), "")
    db.sql("delete from __textids where _class = ? and _itemid = ?", (classname, identity))
    records.destroy(identity)
