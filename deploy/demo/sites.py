"""What people open in a browser while the demonstration runs, and who may sign in where."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deploy.demo.company import Company, Customer
from deploy.demo.customer_portal import CustomerPortal
from deploy.local import identity_provider
from deploy.local.mail.servers import MailServers
from deploy.local.ports import free_port
from deploy.local.services import Services
from shared.domain.wording import LANGUAGES

_OTHERS = 4


class Sites:
    """Portal and console, beside the company's customer portal and identity provider; entered before services start."""

    def __init__(self, folder: Path, services: Services, company: Company) -> None:
        self._services = services
        self.visitor = _visitor(company)
        asking = {part.person.code: part.person for part in company.cast if part.person.code}
        people = [self.visitor, *list(asking.values())[:_OTHERS]]
        self.customers = CustomerPortal(folder, services.url, people)
        self.mail = MailServers.begun()
        self._provider, self._issuer = identity_provider.child(folder, free_port(), services.url)

    def __enter__(self) -> Self:
        self.customers.__enter__()
        self._provider.start()
        self._services.open_portal(self.customers.env)
        self._services.open_console(self._issuer)
        if self.mail:
            self._services.open_mailbox(self.mail.env)
        return self

    def __exit__(self, *_: object) -> None:
        self._provider.stop()
        self.customers.__exit__()

    def shown(self) -> Mapping[str, str]:
        """Addresses, and who may sign in there."""
        mail = {f"mailbox of {each}": self.mail.shown(each) for each in self.mail.passwords} if self.mail else {}
        return {
            "the portal, where people ask, prove who they are and follow it": self._services.portal_url,
            "sign in there as a customer, with a second factor": self.customers.url,
            "the console, where the privacy team works": self._services.console_url,
            "sign in there by a click, as one of these": ", ".join(
                f"{each.name} ({each.roles[0].removeprefix('dsr-')})" for each in identity_provider.PEOPLE
            ),
            **mail,
        }


def _visitor(company: Company) -> Customer:
    """Who asks through the portal: somebody who has a number, and has asked for nothing else."""
    asking = {person.code for part in company.cast for person in (part.person, *part.neighbours)}
    return next(
        each
        for each in company.customers
        if each.code not in asking
        and each.language in LANGUAGES[1:]
        and any(phone.valid_to is None for phone in each.phones)
    )
