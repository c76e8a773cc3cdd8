"""Fetches what the tests run besides our own packages: `make test` does so while it lints."""

from deploy.local import debian, kafka_jars
from deploy.local.paths import CACHE, LOCAL
from deploy.local.progress import Progress
from deploy.local.roundup import install as roundup
from deploy.local.tryton import install as tryton
from deploy.local.unprivileged import become_unprivileged

if __name__ == "__main__":
    become_unprivileged()
    kafka_jars.fetch(CACHE, Progress())
    debian.MARIADB.unpacked()
    tryton.install()
    roundup.prepare(LOCAL / "roundup")
