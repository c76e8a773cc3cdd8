"""What the table of an OpenDSR processor makes of identities, and what it may not say."""

from uuid import uuid4

import pytest
from pydantic import ValidationError

from shared.domain.identities import Identity, IdentityType
from shared.downstreams.opendsr.settings import OpenDsrSettings
from shared.downstreams.opendsr.wire import RequestType, request_body

ADA = "ada@example.com"


def test_a_number_travels_as_an_extension_of_the_processors_domain() -> None:
    table = {"url": "http://localhost/v2", "domain": "m.example", "extensions": {"phone": "phone_number"}}
    identities = [Identity(IdentityType.EMAIL, ADA), Identity(IdentityType.PHONE, "+4930123456")]
    body = request_body(
        uuid4(), RequestType.ERASURE, identities, "2026-03-02T12:00:00Z", OpenDsrSettings.model_validate(table)
    )
    number = {"identity_type": "phone_number", "identity_value": "+4930123456", "identity_format": "raw"}
    assert body["extensions"] == {"m.example": {"identities": [number]}}
    assert body["subject_identities"] == [{"identity_type": "email", "identity_value": ADA, "identity_format": "raw"}]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"format": "md5"}, 'md5 is broken and gives the identity away; write "raw" or "sha256"'),
        ({"format": "sha1"}, 'sha1 is broken and gives the identity away; write "raw" or "sha256"'),
        ({"identities": {"phone": "phone"}}, "OpenDSR has no phone; put it under extensions"),
        ({"extensions": {"phone": "phone"}}, 'write domain = "dsr.example.com"'),
        ({"url": "http://m.example/v2"}, "url must begin with https://"),
        ({"url": "https://m.example/v2"}, "what is not signed is not believed"),
    ],
)
def test_a_table_that_would_give_identities_away_or_nothing_to_search_by_is_refused(
    table: dict[str, object], says: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        OpenDsrSettings.model_validate({"url": "http://localhost/v2", **table})
    assert says in str(caught.value)
