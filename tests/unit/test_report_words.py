"""Words of the report: the same in every language, and there for everything that it may say."""

import re
from collections.abc import Iterator

from services.export.report.texts import LANGUAGES, texts_of
from shared.domain.identities import IdentityType
from shared.downstreams.sql.declaration.columns import Column
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.tryton.grounds import DeclaredGrounds
from tests.fixtures.policy import signed_policy


def test_every_language_says_everything_with_the_same_blanks() -> None:
    assert LANGUAGES == ("de", "en", "es", "fr")
    whole = {"purposes", "categories", "ceilings", "meanings", "values"}
    english = texts_of("en").model_dump(exclude=whole)
    for language in LANGUAGES:
        other = texts_of(language).model_dump(exclude=whole)
        assert {part: set(texts) for part, texts in other.items()} == {part: set(t) for part, t in english.items()}
        for part, texts in english.items():
            for name, text in texts.items():
                assert other[part][name], (language, part, name)
                assert sorted(re.findall(r"{\w+}", other[part][name])) == sorted(re.findall(r"{\w+}", text)), (
                    language,
                    name,
                )


def test_there_are_words_for_everything_that_the_policy_and_the_search_may_say() -> None:
    policy, texts = signed_policy(), texts_of("en")
    anchors = {each.anchor for each in policy.rules.values()} | {each.anchor for each in policy.ceilings.values()}
    assert anchors - {None} <= set(texts.anchors)
    assert {each.basis for one in policy.categories.values() for each in one.purposes.values()} <= set(texts.bases)
    assert set(IdentityType) <= set(texts.types)
    assert {DeclaredGrounds().contract, DeclaredGrounds().ended_on, "invoice_open", "disputed"} <= set(texts.fields)


def test_what_the_datasets_that_we_ship_say_of_their_fields_and_the_codes_in_them_has_words_in_every_language() -> None:
    datasets = [Dataset.load(name) for name in ("kamailio", "analytics")]
    said = {meaning for each in datasets for fields in each.legend().values() for meaning in fields.values() if meaning}
    codes = {(column.label or name): set(column.codes.values()) for each in datasets for name, column in _coded(each)}
    english = texts_of("en")
    for language in LANGUAGES:
        texts = texts_of(language)
        assert language == "en" or said <= texts.meanings.keys(), said - texts.meanings.keys()
        assert {field: set(words) for field, words in texts.values.items()} == {
            field: set(words) for field, words in english.values.items()
        }
        for field, words in codes.items():
            assert words <= texts.values[field].keys(), (language, field)


def _coded(dataset: Dataset) -> Iterator[tuple[str, Column]]:
    for table in dataset.tables.values():
        yield from ((name, column) for name, column in table.columns.items() if column.codes and column.shown)
