"""Outlines of letters: whatever was rendered before, a letter says what its template says of its own fields."""

from collections.abc import Mapping, Sequence

import pytest
from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError

from services.intake.letters.outlines import Outlines, as_list, outlines_of

FRAME = "<p>{{ name }}</p>{% block body %}{% endblock %}{% if besides %}<p>{{ besides }}</p>{% endif %}"
BODIES = {
    "shown": "{{ other }}, {{ name }}",
    "asked": "{% if not (name or other) %}none{% elif other and not name %}other{% else %}{{ name }}{% endif %}",
    "compared": "{% if name == 'Ada' %}she{% else %}{{ name }}{% endif %}",
    "either": "{{ 'she' if name == 'Ada' else other }}{{ 'some' if name else 'none' }}",
    "changed": "{{ name|upper }} {{ 'of ' ~ other }}",
    "in words": "{{ say('{name} and {other}') }}",
    "counted": "{% if count == '1' %}one{% else %}{{ count }}{% endif %}",
    "as lines": "{{ lines(rows) }}{% if rows %}!{% endif %}",
    "one by one": "{% for row in rows %}{{ row }};{% endfor %}",
    "of its own": "{{ lines([name, other]) }}",
}
FIELDS: Sequence[tuple[Mapping[str, str], Sequence[str]]] = [
    ({"name": "Ada", "other": "<b>", "besides": "", "count": "1"}, ["a", "<i>"]),
    ({"name": "", "other": "Grace & Co", "besides": "more", "count": "2"}, []),
    ({"name": "Eve", "other": "", "besides": "{other}", "count": "1"}, ["b"]),
    ({"name": "\ue000other\ue001", "other": "Ada", "besides": "", "count": "2"}, ["\ue000name\ue001"]),
    ({"name": "Ada", "other": "Eve", "besides": "less", "count": "3"}, ["c", "d", "e"]),
]


def written(outlines: Outlines, environment: Environment, shown: Mapping[str, str], rows: Sequence[str]) -> str:
    def render(words: Mapping[str, str], fields: Mapping[str, object]) -> str:
        return environment.get_template("letter").render(fields, say=lambda pattern: pattern.format_map(words))

    return outlines.fill((), shown, {"rows": rows}, {"count": int(shown["count"])} if "count" in shown else {}, render)


def environment_of(body: str) -> Environment:
    pages = {"frame": FRAME, "letter": f"{{% extends 'frame' %}}{{% block body %}}{body}{{% endblock %}}"}
    environment = Environment(loader=DictLoader(pages), undefined=StrictUndefined, autoescape=True)
    environment.globals["lines"] = as_list
    return environment


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_letter_says_what_its_template_says(body: str) -> None:
    environment = environment_of(body)
    template = environment.get_template("letter")
    outlines = outlines_of(template)
    for shown, rows in [*FIELDS, *FIELDS]:
        said = template.render(**shown, rows=rows, say=lambda pattern, shown=shown: pattern.format_map(shown))
        assert written(outlines, environment, shown, rows) == said


def test_what_is_not_given_is_an_error_also_where_it_was_given_before() -> None:
    environment = environment_of(BODIES["shown"])
    outlines = outlines_of(environment.get_template("letter"))
    (shown, rows), without = FIELDS[0], {"name": "Ada", "besides": ""}
    written(outlines, environment, shown, rows)
    with pytest.raises(TemplateError):
        written(outlines, environment, without, rows)
