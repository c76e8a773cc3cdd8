"""Serves what people open in a browser on this machine: portal, console and mailbox, with an identity provider."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deploy.local import identity_provider
from deploy.local.mailbox import Mailbox
from deploy.local.ports import free_port
from deploy.local.process import Child
from deploy.local.services import Services
from shared.domain.topics import ServiceName


class Sites:
    """Portal and console, with an identity provider for the staff and a mailbox; entered before the services start.

    ``password``: what the identity provider asks for, if anything; ``port``: where it is. There is no mailbox if the
    environment names a mail server.
    """

    def __init__(self, folder: Path, services: Services, password: str | None = None, port: int | None = None) -> None:
        self._services = services
        self._password = password
        provider, self._issuer = identity_provider.child(folder, port or free_port(), services.url, password)
        self._mailbox = None if os.environ.get("DSR_SMTP_HOST") else Mailbox(folder)
        mailbox = {"mailbox": self._mailbox.child} if self._mailbox else {}
        self.children: Mapping[str, Child] = {"identity-provider": provider, **mailbox}

    def __enter__(self) -> Self:
        for child in self.children.values():
            child.start()
        self._services.open_sites(self._issuer)
        if self._mailbox:
            self._services.set(ServiceName.CORRESPONDENCE, {"DSR_SMTP_POLL_SECONDS": "0.5", **self._mailbox.env})
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children.values():
            child.stop()

    def shown(self) -> Mapping[str, str]:
        """Addresses, and who may sign in there."""
        people = ", ".join(f"{each.name} ({each.roles[0].removeprefix('dsr-')})" for each in identity_provider.PEOPLE)
        password = f"password {self._password}" if self._password else "no password"
        mailbox = {"mailbox: every letter that was sent by e-mail": self._mailbox.url} if self._mailbox else {}
        return {
            "portal: people ask, prove who they are and follow their request": f"{self._services.url}/portal/",
            "console: the privacy team works here": f"{self._services.url}/console/",
            "sign in there as": f"{people}; {password}",
            **mailbox,
        }
