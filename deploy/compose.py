"""Makes what `docker compose up` needs before the services start: keys, schema, topics and the sample shop.

``python -m deploy.compose SECRETS TOKENS``, with these folders; what is there already stays as it is.
"""

import asyncio
import os
import secrets
import sys
from pathlib import Path

from deploy.local import postgres_databases as databases
from deploy.up import sample
from shared.messaging import admin
from shared.storage import grants, keyring
from shared.storage.migrate import migrate

_SERVICES = 10_001
"""The user of the image, which alone reads the secrets."""


async def prepare(dsn: str, bootstrap: str, secrets_folder: Path, tokens: Path) -> None:
    """Make all of it."""
    # The services, Prometheus and Grafana read the tokens, each as another user; nothing else mounts that volume.
    for token in (tokens / "metrics", tokens / "grafana"):
        if not token.exists():
            token.touch(mode=0o600)
            token.write_text(secrets.token_urlsafe(32))
            token.chmod(0o444)
    ring = secrets_folder / "keyring.json"
    if not ring.exists():
        keyring.create(ring)
    await databases.create_role(dsn, grants.DASHBOARDS)
    await migrate(dsn)
    await admin.create_topics(bootstrap, admin.declared())
    await sample.create(dsn, keep=True)
    os.chown(ring, _SERVICES, _SERVICES)


if __name__ == "__main__":
    folders = [Path(each) for each in sys.argv[1:]]
    asyncio.run(prepare(os.environ["DSR_POSTGRES_DSN"], os.environ["DSR_KAFKA_BOOTSTRAP"], *folders))
