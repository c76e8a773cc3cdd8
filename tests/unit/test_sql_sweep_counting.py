"""How many rows a table has at least follows from random pages of it, however unlike these are."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.downstreams.sql.sweeping.counting import Sample

PAGE = 8192
FULL = 292
PAGES = st.lists(st.sampled_from([0, 1, 30, 136, FULL]) | st.integers(0, FULL), min_size=1, max_size=300)


@settings(max_examples=200)
@given(pages=PAGES, share=st.floats(0.001, 1.0), seed=st.integers())
def test_a_table_has_never_fewer_rows_than_its_sample_says_it_has_at_least(
    pages: list[int], share: float, seed: int
) -> None:
    chosen = Random(seed)  # noqa: S311  # a sample
    seen = sum(rows for rows in pages if chosen.random() < share)
    sample = Sample(seen, share, PAGE)
    assert sample.at_least <= sum(pages)
    assert sample.at_least <= sample.about


def test_a_table_whose_rows_lie_on_few_of_its_pages_is_known_to_have_no_row() -> None:
    """It may be one full page of a hundred: whoever happens upon it would see a hundred times as many."""
    assert Sample(FULL, 0.01, PAGE).at_least == 0


def test_of_a_large_table_most_rows_are_known_for_certain() -> None:
    assert Sample(500 * 136, 0.01, PAGE).about == 6_800_000
    assert Sample(500 * 136, 0.01, PAGE).at_least > 3_500_000
