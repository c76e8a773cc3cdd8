"""How else a switch of some country may have written a number, so that it can be searched by an index (REQ-N3)."""

from functools import lru_cache

import phonenumbers

from shared.domain.identities import IdentityType, MalformedIdentity, normalise


@lru_cache(maxsize=4096)
def spellings(number: str, region: str) -> tuple[str, ...]:
    """E.164 first, then what is dialled for it in that country, and only what can be read there as nothing else.

    ``region``: ISO 3166 code of the trunk or the tenant. Without blanks and signs.
    """
    digits = number.removeprefix("+")
    parsed = phonenumbers.parse(number, None)
    national = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    abroad = phonenumbers.format_out_of_country_calling_number(parsed, region)
    at_home = phonenumbers.country_code_for_region(region) == parsed.country_code
    dialled = ["00" + digits, digits, _digits(abroad), *([_digits(national)] if at_home else [])]
    # What a trunk has prefixed twice is no number, and so nobody else's.
    read = [number, "000" + digits, *(each for each in dialled if _reads_as(each, region) == number)]
    return tuple(dict.fromkeys(read))


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit() or character == "+")


def _reads_as(dialled: str, region: str) -> str | None:
    """The number that this is in that country; one written as the country code and what follows counts as well."""
    readings = set()
    for text, where in ((dialled, region), ("+" + dialled, None)):
        try:
            readings.add(normalise(IdentityType.PHONE, text, where))
        except MalformedIdentity:
            continue
    return readings.pop() if len(readings) == 1 else None
