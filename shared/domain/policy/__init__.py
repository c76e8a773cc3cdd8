"""Reads the policy of processing: what is held about people, why, how long, and who receives it; counsel signs it.

It stands in ``shared/policy/processing``: ``read_policy`` reads it once; ``Policy`` answers what follows from it. No
country, period or category stands in code.
"""

from shared.domain.policy.categories import Basis, Category, OnErasure, Other, Processing, ProvidedBy
from shared.domain.policy.parties import Authority, Contact, Controller, Officer, Party, Recipient
from shared.domain.policy.periods import Period, Release, first_kept, parse_period, release
from shared.domain.policy.policy import Policy, RetentionConflict, Withdrawal, withdrawal
from shared.domain.policy.reading import OVERLAY, SHIPPED, read_policy, says_as_shipped
from shared.domain.policy.rules import (
    AtCeiling,
    Ceiling,
    NoticeRow,
    PartSignOff,
    Rule,
    SignOff,
    WhereUnknown,
    not_signed,
)

__all__ = [
    "OVERLAY",
    "SHIPPED",
    "AtCeiling",
    "Authority",
    "Basis",
    "Category",
    "Ceiling",
    "Contact",
    "Controller",
    "NoticeRow",
    "Officer",
    "OnErasure",
    "Other",
    "PartSignOff",
    "Party",
    "Period",
    "Policy",
    "Processing",
    "ProvidedBy",
    "Recipient",
    "Release",
    "RetentionConflict",
    "Rule",
    "SignOff",
    "WhereUnknown",
    "Withdrawal",
    "first_kept",
    "not_signed",
    "parse_period",
    "read_policy",
    "release",
    "says_as_shipped",
    "withdrawal",
]
