"""A believable telecom company, the same every time: who its customers are, whom they called, what they complained about."""

from deploy.local.company.model import Attachment, Call, Customer, Message, Phone, Size, Ticket

__all__ = ["Attachment", "Call", "Customer", "Message", "Phone", "Size", "Ticket"]
