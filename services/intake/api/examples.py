"""A submission for each right, as the API's document shows it."""

from typing import Any

from shared.domain.rights import Right

_SUBJECT = {
    "email": "ada@example.org",
    "phones": [{"number": "030 901820", "region": "DE", "since": "2024-05-01T00:00:00+02:00"}],
    "country": "DE",
}
_CITY = {"field": "address.city", "current": "Potsdam", "asserted": "Berlin"}
EXAMPLES: dict[str, Any] = {
    right.value: {
        "summary": f"{right.value.capitalize().replace('_', ' ')} (Art. {article})",
        "value": {"right": right.value, "subject": _SUBJECT, "assurance": {"level": "L2", "method": "signed_in_mfa"}}
        | more,
    }
    for right, article, more in (
        (Right.ACCESS, 15, {}),
        (Right.RECTIFICATION, 16, {"changes": [_CITY]}),
        (Right.ERASURE, 17, {}),
        (Right.RESTRICTION, 18, {"ground": "accuracy_contested"}),
        (Right.PORTABILITY, 20, {}),
        (Right.OBJECTION, 21, {"scope": "direct_marketing"}),
        (Right.CONSENT_WITHDRAWAL, "7(3)", {"purposes": ["marketing"], "consent_text": "newsletter-2025-03"}),
    )
}
