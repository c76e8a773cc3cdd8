"""The local CRM: a real Tryton with the company's customers."""

from deploy.local.tryton.seeding import seed
from deploy.local.tryton.server import Tryton

__all__ = ["Tryton", "seed"]
