"""The search for personal data finds it in every form, so that finding nothing means something."""

import base64
from urllib.parse import quote

import pytest

from tests.fixtures.traces_of import traces

NUMBER, MAIL = "+493023000001", "ada.lovelace@example.com"


@pytest.mark.parametrize(
    "heap",
    [
        b"before +493023000001 after",
        b"mail=ADA.Lovelace@Example.com",
        quote(MAIL, safe="").encode(),
        b"n=%2B493023000001&x=1",
        base64.b64encode(MAIL.encode()),
        base64.b64encode(b"x" + MAIL.encode() + b"tail"),
        base64.b64encode(b"xy" + NUMBER.encode()),
        base64.urlsafe_b64encode(b"??>" + NUMBER.encode()),
    ],
)
def test_a_person_is_found_raw_url_encoded_and_in_base64_at_any_offset(heap: bytes) -> None:
    assert list(traces([NUMBER, MAIL], [("heap", heap)])) == ["heap"]


def test_somebody_else_is_not_found() -> None:
    assert list(traces([NUMBER, MAIL], [("heap", b"+493023000002 and grace@example.com")])) == []
