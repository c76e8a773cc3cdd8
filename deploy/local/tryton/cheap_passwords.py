# mypy: ignore-errors
"""Settings of gunicorn that let Tryton hash passwords at little cost: those of a local CRM are long and random."""

import trytond.res.user
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

trytond.res.user.PASSWORD_HASH = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)])
