"""What people open in a browser while the demonstration runs, and who may sign in where."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deploy.demo.company import Company, Customer
from deploy.local import sites
from deploy.local.customer_portal import Visitor
from deploy.local.mail.servers import MailServers
from deploy.local.services import Services
from shared.domain.wording import LANGUAGES

_OTHERS = 4


class Sites(sites.Sites):
    """Portal and console of the company, and its mailboxes where there are mail servers."""

    def __init__(self, folder: Path, services: Services, company: Company) -> None:
        self.visitor = _visitor(company)
        self.mail = MailServers.begun()
        asking = {part.person.code: part.person for part in company.cast if part.person.code}
        people = [self.visitor, *list(asking.values())[:_OTHERS]]
        visitors = [Visitor(each.code, each.name, each.emails[0], each.country, each.language) for each in people]
        super().__init__(folder, services, visitors)

    def __enter__(self) -> Self:
        super().__enter__()
        if self.mail:
            self._services.open_mailbox(self.mail.env)
        return self

    def shown(self) -> Mapping[str, str]:
        """Addresses, and who may sign in there."""
        mail = {f"mailbox of {each}": self.mail.shown(each) for each in self.mail.passwords} if self.mail else {}
        return {**super().shown(), **mail}


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
