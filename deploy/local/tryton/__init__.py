"""The local CRM: a real Tryton, with our module in it."""

from deploy.local.tryton.server import Tryton

__all__ = ["Tryton"]
