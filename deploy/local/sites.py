"""What people open in a browser on this machine: portal, console and mailbox, and who may sign in where."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from deploy.local import identity_provider
from deploy.local.customer_portal import CustomerPortal, Visitor
from deploy.local.mailbox import Mailbox
from deploy.local.ports import free_port
from deploy.local.process import Child
from deploy.local.services import Services
from shared.domain.topics import ServiceName


class Sites:
    """Portal and console with an identity provider, a customer portal and a mailbox; entered before services start.

    ``visitors``: who may sign in to the customer portal; without any, none may. ``password``: what the identity
    provider asks for, if anything; ``port``: where it is. There is no mailbox if the environment names a mail server.
    """

    def __init__(
        self,
        folder: Path,
        services: Services,
        visitors: Sequence[Visitor] = (),
        password: str | None = None,
        port: int | None = None,
    ) -> None:
        self._services = services
        self._visitors = visitors
        self._password = password
        self._customers = CustomerPortal(folder, services.url, visitors)
        provider, self._issuer = identity_provider.child(folder, port or free_port(), services.url, password)
        self._mailbox = None if os.environ.get("DSR_SMTP_HOST") else Mailbox(folder)
        self.children: Mapping[str, Child] = {"identity-provider": provider} | (
            {"mailbox": self._mailbox.child} if self._mailbox else {}
        )

    def __enter__(self) -> Self:
        self._customers.__enter__()
        for child in self.children.values():
            child.start()
        self._services.open_sites(self._issuer, self._customers.env if self._visitors else {})
        if self._mailbox:
            self._services.set(ServiceName.CORRESPONDENCE, {"DSR_SMTP_POLL_SECONDS": "0.5", **self._mailbox.env})
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children.values():
            child.stop()
        self._customers.__exit__()

    def shown(self) -> Mapping[str, str]:
        """Addresses, and who may sign in there."""
        people = ", ".join(f"{each.name} ({each.roles[0].removeprefix('dsr-')})" for each in identity_provider.PEOPLE)
        shown = {
            "portal: people ask, prove who they are and follow their request": f"{self._services.url}/portal/",
            "console: the privacy team works here": f"{self._services.url}/console/",
            "sign in there as": f"{people}; " + (f"password {self._password}" if self._password else "no password"),
        }
        if self._visitors:
            shown["customer portal: sign in as a customer, with a second factor"] = self._customers.url
        if self._mailbox:
            shown["mailbox: every letter that was sent by e-mail"] = self._mailbox.url
        return shown
