"""A body that two readers could understand differently is refused, and nothing of it is quoted."""

import pytest

from services.intake.json_body import MalformedBody, read_json

PERSONAL = "ada@example.org"


def test_json_is_read_as_it_stands() -> None:
    said = '{"a": [1, -2.5, true, null, "\\u00e9 \\ud83d\\ude00"], "b": {"a": {}}}'
    assert read_json(said.encode()) == {"a": [1, -2.5, True, None, "é 😀"], "b": {"a": {}}}
    assert read_json(bytearray(b"7")) == 7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{right: erasure",
        b'{"email": "ada@example.org", "email": "eve@example.org"}',
        b'{"a": {"email": "ada@example.org", "\\u0065mail": "eve@example.org"}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1} {"a": 2}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": "ada@example.org"}'.encode("utf-16"),
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b"1" * 100_000,
        b"[" + b",".join([b"{}"] * 70_000) + b"]",
        ("{" + ",".join(f'"{n}": 1' for n in range(65)) + "}").encode(),
    ],
)
def test_what_is_no_json_or_more_than_one_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody) as refusal:
        read_json(body)
    assert PERSONAL not in str(refusal.value)
