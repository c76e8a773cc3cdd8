# mypy: ignore-errors
# ruff: noqa: F821
"""The first records of the tracker; Roundup provides `db`, `adminpw` and `admin_email`."""

import os

from roundup.password import Password

for order, name in enumerate(("critical", "urgent", "normal", "wish"), 1):
    db.priority.create(name=name, order=order)
for order, name in enumerate(("new", "open", "waiting", "resolved"), 1):
    db.status.create(name=name, order=order)
for name in ("billing", "coverage", "porting", "roaming", "hardware", "contract"):
    db.keyword.create(name=name)
db.user.create(username="admin", password=adminpw, address=admin_email, roles="Admin")
db.user.create(username="anonymous", roles="Anonymous")
for username, realname, role, variable in (
    ("privacy", "Privacy team", "Privacy", "DSR_ROUNDUP_PASSWORD"),
    ("agent", "Service desk", "User", "DSR_ROUNDUP_AGENT_PASSWORD"),
):
    secret = Password(os.environ[variable], config=db.config)
    db.user.create(
        username=username, realname=realname, roles=role, password=secret, address=f"{username}@telco.invalid"
    )
