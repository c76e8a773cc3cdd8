"""The company's customers and their tickets in the ticketing system."""

import base64
from collections.abc import Iterable, Iterator, Mapping

from deploy.demo.company import Customer, Ticket

Record = Mapping[str, object]


def people(customers: Iterable[Customer]) -> Iterator[Record]:
    """A user of the tracker for each customer, who never signs in."""
    for customer in customers:
        current = [phone.number for phone in customer.phones if phone.valid_to is None]
        yield {
            "person": {
                "username": customer.code,
                "realname": customer.name,
                "address": customer.emails[0],
                "alternate_addresses": "\n".join(customer.emails[1:]) or None,
                "phone": current[0] if current else None,
                "marketing_opt_out": not customer.marketing_consent,
            }
        }


def tickets(cases: Iterable[Ticket]) -> Iterator[Record]:
    """The tickets with their messages and attachments; their requesters must have been loaded before."""
    for case in cases:
        resolved = [case.created_at, *(m.written_at for m in case.messages)] if case.status == "resolved" else []
        yield {
            "ticket": {
                "requester": case.requester_code,
                "title": case.title,
                "status": case.status,
                "created": f"{case.created_at:%Y-%m-%d.%H:%M:%S}",
                "resolved": f"{max(resolved):%Y-%m-%d.%H:%M:%S}" if resolved else None,
                "messages": [
                    {
                        "by": case.requester_code if message.author == "requester" else "agent",
                        "date": f"{message.written_at:%Y-%m-%d.%H:%M:%S}",
                        "content": message.text,
                    }
                    for message in case.messages
                ],
                "files": [
                    {
                        "name": attachment.file_name,
                        "type": "text/plain; charset=utf-8",
                        "content": base64.b64encode(attachment.content).decode(),
                    }
                    for attachment in case.attachments
                ],
            }
        }
