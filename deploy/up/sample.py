"""The sample store: an invented shop, in a database of its own on the platform's PostgreSQL server."""

from pathlib import Path
from urllib.parse import urlsplit

from deploy.local import postgres_databases as databases

DOWNSTREAMS = Path(__file__).with_name("downstreams.toml")
POLICY = Path(__file__).with_name("policy")
DSN_VARIABLE = "DSR_SHOP_DSN"
_ROLE = "dsr_shop"


async def create(dsn: str, *, keep: bool = False) -> str:
    """Create the shop on the platform's database server, or keep it; return the platform's DSN for it."""
    if not keep:
        await drop(dsn)
    script = DOWNSTREAMS.with_name("sample.sql").read_text(encoding="utf-8")
    return (await databases.create_store(dsn, _name(dsn), _ROLE, script))[1]


async def drop(dsn: str) -> None:
    """Drop the shop."""
    await databases.drop(dsn, _name(dsn))


def _name(dsn: str) -> str:
    return f"{urlsplit(dsn).path.removeprefix('/')}_sample_shop"
