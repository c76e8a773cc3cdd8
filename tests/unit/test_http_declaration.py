"""A declaration of an HTTP interface that cannot be kept is refused before anybody is searched for."""

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from shared.domain.policy import read_policy
from shared.domain.proofs import proof_policy
from shared.downstreams.http.declaration import Declaration, read_declaration
from shared.downstreams.http.settings import SHIPPED
from shared.downstreams.http.templates import in_body, in_path, names_in
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.settings import SHIPPED as DATASETS

SOUND = """
auth = { kind = "bearer", token_env = "TOKEN" }
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
        ('{ ask = [{ get = "/users/{id}", gone = [{ status = 404 }] }] }', "{ settle = '5s' }", "search = true"),
        ('delete = "/users/{id}"', 'delete = "/users/{phon}"', "{phon} is known to nobody"),
        ('delete = "/users/{id}"', 'delete = "/users/{user.email}"', "{user.email} is known to nobody"),
        ("/users/{user.id}/tickets", "/users/{account.id}/tickets", "{account.id} is known to nobody"),
        ('category = "contact"', 'category = "contact"\nexplain = { mail = "x" }', "explain.mail is no field"),
        ("{email}", "{email|rot13}", "is no filter"),
        ("{email}", "{email", "brace"),
        ('get = "/me"', 'get = "me"', "begin with /"),
        ('get = "/me"', 'get = "/me?x=1"', "under query"),
        ('get = "/me"', 'get = "/me", post = "/me"', "once"),
        ('of = "user"', 'of = "person"', "names no resource"),
        ('requester = "user.id"', 'requester = "person.id"', "it lies below no person"),
        ('requester = "user.id"', '"*.id" = "user.id"', "owner"),
        ("erase = [", "by_hand = [{ do = 'shred' }]\nerase = [", "leave one out"),
        ('erase = [{ delete = "/users/{id}" }]', "by_hand = [{ do = 'shred {email}' }]", "{email} is known to nobody"),
        ('erase = [{ delete = "/users/{id}" }]', "by_hand = [{ do = 'shred', each = '{id}' }]", "give both"),
        ('erase = [{ delete = "/users/{id}" }]', "by_hand = [{ do = 'x', when = [{ path = 'y' }] }]", "without when"),
        ('of = "user"\n', "", "by identities (find.by)"),
        ('owner = { email = "email" }', "", "owner"),
        ('owner = { email = "email" }', 'owner = { email = "mail" }', "is no identity type"),
        ("check", "chek", "chek"),
        ('delete = "/users/{id}"', 'delete = "/users/{id}", batch = 5', "must name {ids}"),
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
        ("{email|md5}", {"email": "ada@example.com"}, "3e3417d7ef77d5932a6734b916515ed5"),
        ("{phone|digits}", {"phone": "+33 6 12"}, "33612"),
    ],
)
def test_a_value_alone_keeps_its_type_and_a_filter_is_applied(template: Any, values: Any, written: Any) -> None:
    assert in_body(template, values) == written


def test_a_value_in_a_path_is_one_part_of_it() -> None:
    assert in_path("/a/{id}/b", {"id": "x/../y?z=1#"}) == "/a/x%2F..%2Fy%3Fz%3D1%23/b"
    assert in_path("/many/{ids}", {"ids": [1, "a/b"]}) == "/many/1,a%2Fb"
    assert names_in({"a": ["{id} {user.id}"], "b": {"c": "{email|lower}"}}) == {"id", "user.id", "email"}


@pytest.mark.parametrize("name", ["hubspot", "request-tracker", "stripe", "zendesk"])
def test_every_field_that_a_shipped_declaration_shows_is_explained(name: str) -> None:
    resources = read_declaration(SHIPPED / f"{name}.toml").resource
    assert {each: of.shown for each, of in resources.items()} == {n: of.explain.keys() for n, of in resources.items()}
