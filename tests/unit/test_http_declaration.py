"""A declaration of an HTTP interface that cannot be kept is refused before anybody is searched for."""

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from shared.domain.errors import AnswerMalformed
from shared.domain.policy import read_policy
from shared.domain.proofs import proof_policy
from shared.systems.http.declaration import Declaration, Pages, read_declaration
from shared.systems.http.paths import Condition, HttpAnswer, Refusal, in_body, in_path, names_in, values_at
from shared.systems.http.session import first_page, next_page
from shared.systems.http.settings import SHIPPED
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.settings import SHIPPED as DATASETS

SOUND = """
auth = { value = "Bearer {TOKEN}" }
check = { get = "/me" }
[resource.user]
category = "contact"
find = { get = "/users", query = { email = "{email}" }, by = ["email"], records = "users" }
owner = { email = "email" }
read = { get = "/users/{id}" }
erase = [{ delete = "/users/{id}" }]
verify = { ask = [{ get = "/users/{id}", gone = [{ status = 404 }] }] }
[resource.ticket]
category = "ticket"
of = "user"
find = { get = "/users/{user.id}/tickets" }
owner = { requester = "user.id" }
"""


def test_the_declarations_that_ship_can_be_read() -> None:
    names = sorted(path.stem for path in SHIPPED.glob("*.toml"))
    assert names == ["hubspot", "request-tracker", "stripe", "zendesk"]
    for name in names:
        assert read_declaration(SHIPPED / f"{name}.toml").searched_by


def test_what_ships_names_no_kind_of_data_that_the_policy_does_not_know() -> None:
    declared = {path.stem: read_declaration(path) for path in SHIPPED.glob("*.toml")}
    held = {(name, each.category) for name, one in declared.items() for each in one.resource.values()}
    datasets = {path.stem: Dataset.load(path.stem) for path in DATASETS.glob("*.toml")}
    held |= {(name, table.category) for name, one in datasets.items() for table in one.tables.values()}
    levels = {each for known in proof_policy().categories.values() for each in known}
    policy = read_policy()
    assert {each for each in held if policy.category(each[1]) is None} == set(), "A15.a to d say nothing of these"
    assert {each for each in held if each[1] not in levels} == set(), "these need the strictest level of proof"


def test_what_lies_below_comes_after_what_it_lies_below() -> None:
    assert Declaration.model_validate(tomllib.loads(SOUND)).order == ("user", "ticket")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('verify = { ask = [{ get = "/users/{id}", gone = [{ status = 404 }] }] }', "", "erase needs verify"),
        ("gone = [{ status = 404 }]", "gone = []", "gone"),
        ('{ ask = [{ get = "/users/{id}", gone = [{ status = 404 }] }] }', "{ settle = '5s' }", "verify.ask"),
        ('{ ask = [{ get = "/users/{id}", gone = [{ status = 404 }] }] }', "{ search = true }", "verify.ask"),
        ('delete = "/users/{id}"', 'delete = "/users/{phon}"', "{phon} is unknown"),
        ('delete = "/users/{id}"', 'delete = "/users/{user.email}"', "{user.email} is unknown"),
        ("/users/{user.id}/tickets", "/users/{account.id}/tickets", "{account.id} is unknown"),
        ('category = "contact"', 'category = "contact"\nexplain = { mail = "x" }', "explain.mail is no field"),
        ("{email}", "{email", "brace"),
        ('get = "/me"', 'get = "me"', "begin with /"),
        ('get = "/me"', 'get = "/me?x=1"', "under query"),
        ('get = "/me"', 'get = "/me", post = "/me"', "once"),
        ('of = "user"', 'of = "person"', "names no resource"),
        ('requester = "user.id"', 'requester = "person.id"', "it lies below no person"),
        ('requester = "user.id"', '"*.id" = "user.id"', "owner"),
        ("erase = [", "by_hand = [{ do = 'shred' }]\nerase = [", "leave one out"),
        ('erase = [{ delete = "/users/{id}" }]', "by_hand = [{ do = 'shred {email}' }]", "{email} is unknown"),
        ('erase = [{ delete = "/users/{id}" }]', "by_hand = [{ do = 'shred', each = '{id}' }]", "give both"),
        ('erase = [{ delete = "/users/{id}" }]', "by_hand = [{ do = 'x', when = [{ path = 'y' }] }]", "needs a when"),
        ('of = "user"\n', "", "by identities (find.by)"),
        ('owner = { email = "email" }', "", "owner"),
        ('owner = { email = "email" }', 'owner = { email = "mail" }', "is no identity type"),
        ("check", "chek", "chek"),
        ('delete = "/users/{id}"', 'delete = "/users/{id}", batch = 5', "must name {ids}"),
        ('delete = "/users/{id}"', 'delete = "/users/{ids}", query = { of = "{email}" }, batch = 5', "no {email}"),
        ("gone = [", 'batch = 5, shown = "users.*.id", query = { of = "{ids}" }, gone = [', "no {id}"),
        ('delete = "/users/{id}"', 'delete = "/users/{id}", job = "bulk"', "no job is called bulk"),
        ('read = { get = "/users/{id}" }', "lift = { steps = [{ put = '/x' }], seen = [{ path = 'y' }] }", "need read"),
        ("status = 404", "equals = 'x'", "give a status"),
        ("verify = { ask", "verify = { settle = '5 s', ask", "as 30s"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(old: str, new: str, said: str) -> None:
    assert old in SOUND
    with pytest.raises(ValidationError) as refused:
        Declaration.model_validate(tomllib.loads(SOUND.replace(old, new, 1)))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("template", "values", "written"),
    [
        ("{id}", {"id": "007"}, "007"),
        ("{id}", {"id": 7}, 7),
        ("n {id}", {"id": 7}, "n 7"),
        ({"ids": "{ids}", "why": ["gdpr"]}, {"ids": ["a", 2]}, {"ids": ["a", 2], "why": ["gdpr"]}),
    ],
)
def test_a_value_alone_keeps_its_type(template: Any, values: Any, written: Any) -> None:
    assert in_body(template, values) == written


def test_a_value_in_a_path_is_one_part_of_it() -> None:
    assert in_path("/a/{id}/b", {"id": "x/../y?z=1#"}) == "/a/x%2F..%2Fy%3Fz%3D1%23/b"
    assert in_path("/many/{ids}", {"ids": [1, "a/b"]}) == "/many/1,a%2Fb"
    assert names_in({"a": ["{id} {user.id}"], "b": {"c": "{email}"}}) == {"id", "user.id", "email"}


@pytest.mark.parametrize("name", ["hubspot", "request-tracker", "stripe", "zendesk"])
def test_every_field_that_a_shipped_declaration_shows_is_explained(name: str) -> None:
    resources = read_declaration(SHIPPED / f"{name}.toml").resource
    assert {each: of.shown for each, of in resources.items()} == {n: of.explain.keys() for n, of in resources.items()}


# Where pages end is judged by the page as it came: nothing that a page does not say is taken for the end.
COUNTED = {"kind": "page", "size": 2, "parameter": "page"}


@pytest.mark.parametrize(
    ("declared", "said", "records", "following"),
    [
        (COUNTED, {}, [1, 2], {"page": 2}),
        (COUNTED, {}, [1], {"page": 2}),  # the system may give less than it was asked for
        (COUNTED, {}, [], None),
        ({**COUNTED, "end": "short"}, {}, [1], None),
        ({**COUNTED, "end": "short"}, {}, [1, 2], {"page": 2}),
        ({**COUNTED, "more": "more"}, {"more": False}, [1, 2], None),
        ({**COUNTED, "more": "more"}, {"more": True}, [1], {"page": 2}),
        ({**COUNTED, "kind": "last_id"}, {}, [7, 9], {"page": 9}),
    ],
)
def test_the_next_page_is_asked_for_as_the_page_says(
    declared: dict[str, Any], said: object, records: list[int], following: object
) -> None:
    pages = Pages.model_validate(declared)
    found = next_page("saas", pages, HttpAnswer(status=200, body=said), records, first_page(pages))
    assert (found and (found[1] or found[0])) == following


def test_a_page_that_is_longer_than_pages_are_is_an_error() -> None:
    pages = Pages.model_validate(COUNTED)
    with pytest.raises(AnswerMalformed, match="size = 2"):
        next_page("saas", pages, HttpAnswer(status=200), [1, 2, 3], first_page(pages))


@pytest.mark.parametrize("more", [{"kind": "link", "next": "next"}, {"more": "more"}])
def test_how_pages_end_is_said_once(more: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="leave it out"):
        Pages.model_validate({**COUNTED, "end": "short", **more})


@pytest.mark.parametrize(
    ("condition", "record", "holds"),
    [
        ({"path": "a", "equals": 1}, {"a": True}, False),
        ({"path": "a", "equals": False}, {"a": 0}, False),
        ({"path": "a", "in": [1, 2]}, {"a": True}, False),
        ({"path": "a", "in": [1, 2]}, {"a": [1]}, False),
        ({"path": "a", "equals": "007"}, {"a": 7}, False),
        ({"path": "a", "equals": None}, {}, False),
        ({"path": "a", "equals": None}, {"a": None}, True),
    ],
)
def test_condition_takes_no_other_type(condition: dict[str, Any], record: dict[str, Any], *, holds: bool) -> None:
    assert Condition.model_validate(condition).holds_of(record) is holds


def test_a_star_is_any_part_of_a_list_and_of_nothing_else() -> None:
    assert values_at({"a": [{"id": 1}, {"id": 2}]}, "a.*.id") == [1, 2]
    assert values_at({"a": ["x"]}, "a.*") == ["x"]
    assert values_at({"a": {"0": {"id": 1}}}, "a.*.id") == []
    assert values_at({"a": 1}, "a") == [1]


# In which state of a record of an interface something must stay, and what a record says that says neither.
ACTIVE: dict[str, Any] = {"path": "state", "in": ["active"], "reason": "active_contract"}
BOTH = ACTIVE | {"over": ["ended"]}
TICKET: dict[str, Any] = {"path": "state", "equals": "open", "reason": "open_ticket"}


@pytest.mark.parametrize(
    ("declared", "record", "lasts"),
    [
        (ACTIVE, {"state": "active"}, True),
        (ACTIVE, {"state": "paused"}, False),
        (ACTIVE, {"state": None}, None),
        (ACTIVE, {}, None),
        (BOTH, {"state": "active"}, True),
        (BOTH, {"state": "ended"}, False),
        (BOTH, {"state": "paused"}, None),
        (TICKET, {"state": None}, False),
        (TICKET | {"over": ["done"]}, {"state": "odd"}, None),
    ],
)
def test_a_record_says_that_a_state_lasts_that_it_does_not_or_neither(
    declared: dict[str, Any], record: dict[str, Any], *, lasts: bool | None
) -> None:
    assert Refusal.model_validate(declared).lasts(record) is lasts


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"over": ["active"]}, "write each once"),
        ({"in": None, "over": ["ended"]}, "write those that say so as in or equals"),
        ({"path": None, "in": None, "status": 200}, "give the path of what a record says"),
    ],
)
def test_what_cannot_be_compared_both_ways_is_refused(more: dict[str, Any], says: str) -> None:
    declared = {key: value for key, value in (ACTIVE | more).items() if value is not None}
    with pytest.raises(ValidationError, match=says):
        Refusal.model_validate(declared)
