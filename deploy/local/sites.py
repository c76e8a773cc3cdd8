"""What people open in a browser on this machine: portal and console, and who may sign in where."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from deploy.local import identity_provider
from deploy.local.customer_portal import CustomerPortal, Visitor
from deploy.local.ports import free_port
from deploy.local.services import Services


class Sites:
    """Portal and console, with an identity provider and a customer portal; entered before the services start.

    ``visitors``: who may sign in to the customer portal; without any, none may. ``password``: what the identity
    provider asks for, if anything; ``port``: where it is.
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
        self.customers = CustomerPortal(folder, services.url, visitors)
        self.provider, self._issuer = identity_provider.child(folder, port or free_port(), services.url, password)

    def __enter__(self) -> Self:
        self.customers.__enter__()
        self.provider.start()
        self._services.open_portal(self.customers.env if self._visitors else {})
        self._services.open_console(self._issuer)
        return self

    def __exit__(self, *_: object) -> None:
        self.provider.stop()
        self.customers.__exit__()

    def shown(self) -> Mapping[str, str]:
        """Addresses, and who may sign in there."""
        people = ", ".join(f"{each.name} ({each.roles[0].removeprefix('dsr-')})" for each in identity_provider.PEOPLE)
        shown = {
            "portal: people ask, prove who they are and follow their request": self._services.portal_url,
            "console: the privacy team works here": self._services.console_url,
            "sign in there as": f"{people}; " + (f"password {self._password}" if self._password else "no password"),
        }
        if self._visitors:
            shown["customer portal: sign in as a customer, with a second factor"] = self.customers.url
        return shown
