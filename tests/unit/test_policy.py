"""The policy of what is held is data: complete as shipped, refused with a reason where it cannot hold."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from typer.testing import CliRunner

from services.cli import main
from services.intake.actions.bodies import ArrivalCorrection
from services.intake.core.subject_schemas import DataSubject
from services.portal.portal import countries
from shared.domain.countries import COUNTRIES
from shared.domain.errors import GroundUnknown, Misconfigured
from shared.domain.languages import LANGUAGES, Language
from shared.domain.operations import Operation
from shared.domain.policy import (
    SHIPPED,
    PartSignOff,
    Policy,
    RetentionConflict,
    SignOff,
    WhereUnknown,
    not_signed,
    parse_period,
    read_policy,
)
from shared.domain.policy.open_points import open_points
from shared.domain.proofs import proof_policy
from shared.domain.toml_file import read_toml
from shared.systems.engine.ownership import OwnedRecord, SubjectRecords
from shared.systems.engine.planning import Plan, plan_erasure
from shared.systems.registry import Wiring
from shared.systems.roundup.copies import CATEGORIES as OF_ROUNDUP
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.declaration import Table
from shared.systems.sql.values import country as country_of
from shared.systems.tryton.system import CATEGORIES as OF_TRYTON
from tests.fixtures.downstream import task
from tests.fixtures.policy import all_signed, changed, signed_policy
from tests.fixtures.shapes import table_of, tables_of
from tests.unit.test_registry import DEMO

TODAY = date(2026, 10, 1)


def test_the_shipped_policy_is_unsigned_and_says_so() -> None:
    policy = read_policy()
    assert not any(rule.signed(TODAY) for rule in [*policy.rules.values(), *policy.ceilings.values()])
    said = open_points(policy, TODAY)
    for name in policy.rules.keys() - {"legal_hold"}:
        assert f"rules.{name} is not signed: it keeps nothing" in said
    assert not any("legal_hold" in each and "nothing" in each for each in said), "a hold is a decision"
    assert "rules.legal_hold has no valid sign-off: holds keep all the same, by who places each of them" in said
    for name in policy.ceilings:
        assert f"ceilings.{name} is not signed: it removes nothing" in said


def test_demonstrations_policy_has_a_fictitious_signature_and_says_so() -> None:
    policy = signed_policy()
    assert all(rule.signed(TODAY) for rule in policy.rules.values())
    assert all(rule.sign_off.fictitious for rule in policy.rules.values() if rule.sign_off)
    assert any("fictitious" in said for said in open_points(policy, TODAY))


def test_signature_of_a_part_holds_for_the_version_that_was_signed() -> None:
    policy = read_policy()
    assert policy.unsigned_parts(TODAY) == ["categories", "parties", "redaction", "identity", "suppression"]
    assert signed_policy().unsigned_parts(TODAY) == []
    signed = {
        part: PartSignOff(by="DPO", on=date(2026, 1, 1), expires=parse_period("P1Y"), version=version)
        for part, version in policy.part_versions.items()
    }
    by = policy.with_other(sign_offs=signed)
    assert by.unsigned_parts(TODAY) == []
    assert by.unsigned_parts(date(2027, 1, 2)) == by.unsigned_parts(date(2025, 12, 31)) == list(signed), "out of term"
    assert by.with_other(purposes={}).unsigned_parts(TODAY) == ["categories"]
    assert by.with_other(other_files={**policy.other_files, "identity.toml": {}}).unsigned_parts(TODAY) == ["identity"]
    assert by.with_other(rules={}).unsigned_parts(TODAY) == [], "rules are signed one by one"
    changed = by.with_other(officer=policy.officer.model_copy(update={"name": "Privacy Team"}))
    [said] = [each for each in open_points(changed, TODAY) if each.startswith("parties.toml")]
    assert f"is of {policy.part_versions['parties']}" in said
    assert f'version = "{changed.part_versions["parties"]}"' in said


def test_future_or_ended_sign_off_is_reported() -> None:
    policy = signed_policy()
    by = SignOff(by="counsel", on=date(2027, 1, 1), expires=parse_period("P1Y"), fictitious=True)
    ended = by.model_copy(update={"on": date(2024, 1, 1)})
    rules = {
        name: policy.rules["calls_us_18m"].model_copy(update={"sign_off": of})
        for name, of in (("later", by), ("ended", ended), ("never", None))
    }
    said = open_points(policy.with_other(rules={**policy.rules, "calls_us_18m": rules["later"]}), TODAY)
    assert "rules.calls_us_18m: its sign-off begins on 2027-01-01: it keeps nothing before" in said
    assert not any("rules.calls_us_18m" in each and "what it has kept" in each for each in said)
    assert not_signed({"never": rules["never"]}, TODAY) == "which is not signed"
    assert not_signed(rules, TODAY) == (
        "which no sign-off covers today (that of ended ended on 2025-01-01, that of later begins on 2027-01-01)"
    )


def test_a_sign_off_of_a_rule_that_is_none_names_the_one_that_was_meant(tmp_path: Path) -> None:
    sign_off = '[rules.{}.sign_off]\nby = "counsel"\non = 2026-01-01\nexpires = "P1Y"\n'
    (tmp_path / "retention.toml").write_text(sign_off.format("call_us_18m"))
    with pytest.raises(Misconfigured) as wrong:
        read_policy(tmp_path)
    [fault] = map(str, wrong.value.faults)
    assert "rules.call_us_18m: is no part of the file beneath, and not whole: did you mean calls_us_18m?" in fault
    (tmp_path / "retention.toml").write_text(sign_off.format("something_else"))
    with pytest.raises(Misconfigured, match="is missing; write it"):
        read_policy(tmp_path)


def test_every_row_of_the_privacy_notice_is_carried_out() -> None:
    periods = {name: str(row.period) for name, row in read_policy().notice.items()}
    rows = {"account": "P84M", "call_records": "P18M", "tickets": "P36M", "marketing": "P36M", "analytics": "P26M"}
    assert periods.items() >= (rows | {"analytics_anonymised": "P14M"}).items()


def test_whatever_systems_call_what_they_hold_is_a_category() -> None:
    policy = read_policy()
    named = {name for names in proof_policy().categories.values() for name in names}
    assert {name for name in named if policy.category_of(name) is None} == set()
    assert policy.category_of("horoscope") is None


def test_every_state_of_the_area_and_the_united_kingdom_has_an_authority() -> None:
    policy = read_policy()
    area = policy.laws["gdpr"].states - {"EU"}
    assert policy.authorities.keys() == area | {"GB"}
    assert len(area) == 30
    assert policy.authority_of("ZZ") is None
    assert policy.authority_of(None) is None


def test_a_shorter_maximum_by_law_is_a_conflict_and_overrides_nothing() -> None:
    policy = signed_policy()
    assert policy.conflicts() == [RetentionConflict("calls_us_18m", "calls_de_6m")]
    assert read_policy().conflicts() == [], "the rule of the United States is not about lines in Germany"
    said = open_points(policy, TODAY)
    assert any("ceilings.calls_de_6m" in each and "counsel decides" in each for each in said)
    assert str(policy.rules["calls_us_18m"].period) == "P18M"


def test_a_slip_of_the_pen_in_a_period_stops_before_anything_is_read_by_it(tmp_path: Path) -> None:
    folder = changed(tmp_path, 'period = "P18M"\nanchor = "call_start"', 'period = "P18D"\nanchor = "call_start"')
    with pytest.raises(Misconfigured) as wrong:
        read_policy(folder)
    assert str(wrong.value) == (
        f"{folder}/retention.toml: rules.calls_us_18m.period: is P18D, implausibly short against the P18M of"
        " notice.call_records: write P18M, or let shortest there be as short"
    )


def test_changing_the_file_changes_the_answer_and_the_version(tmp_path: Path) -> None:
    folder = changed(tmp_path, 'period = "P18M"\nanchor = "call_start"', 'period = "P12M"\nanchor = "call_start"')
    before, after = read_policy(), read_policy(folder)
    for policy, last_day in ((before, date(2026, 10, 1)), (after, date(2026, 4, 1))):
        found = policy.release(policy.rules["calls_us_18m"], date(2025, 4, 1))
        assert found is not None
        assert found.last_day == last_day
    assert before.version != after.version


def test_the_version_is_of_the_content_alone(tmp_path: Path) -> None:
    text = (SHIPPED / "parties.toml").read_text()
    (tmp_path / "parties.toml").write_text("# Another comment\n" + text)
    assert read_policy(tmp_path).version == read_policy().version


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('period = "P18M"\nanchor', 'period = "P3Y"\nanchor', "rules.calls_us_18m.period: is P36M, longer"),
        (
            '42.6; Art. 6(1)(f) GDPR"\nground = "17(1)(a)"',
            '42.6; Art. 6(1)(f) GDPR"\nground = "17(3)(b)"',
            "no obligation by Union",
        ),
        ('period = "P19M"\nanchor', 'period = "P17M"\nanchor', "a ceiling of our own is no shorter"),
        ('anchor = "resolved"', 'anchors = "resolved"', "write anchor"),
        ('period = "P35D"', 'period = "35 days"', "is no period: write one in years, months and days"),
        (
            'rules = ["calls_us_18m"]',
            'rules = ["calls_18m"]',
            "notice.call_records.rules: calls_18m is none of the rules",
        ),
        (
            'lasts_while = "contract_active"',
            'lasts_while = "contract_actve"',
            "no system tells contract_actve: write one of contract_active, disputed, held, invoice_open, or declare",
        ),
        (
            'anchor = "relationship_end"\nfields',
            'anchor = "relationship_ended"\nfields',
            "no system tells relationship_ended: write one of backed_up, call_start",
        ),
        (
            'lasts_while = "contract_active"',
            'lasts_while = "contract_active"\nperiod = "P1Y"',
            "rules.active_contract: give exactly one of period, lasts_while",
        ),
        (
            'kept_by = ["calls_us_18m", ',
            'kept_by = ["calls_18m", ',
            "categories.call_record.kept_by: calls_18m is no rule",
        ),
        (
            'kept_by = ["calls_us_18m", ',
            'kept_by = ["calls_us_18m", "calls_us_18m", ',
            "kept_by names calls_us_18m twice",
        ),
        (
            'kept_by = ["calls_us_18m", ',
            'kept_by = ["calls_us_18m", "legal_hold", ',
            "legal_hold keeps whatever a hold names: leave it out here",
        ),
        ('held_as = ["missed_call"]', 'held_as = ["call"]', "counts as call_record as well"),
        (
            'purposes.marketing = { basis = "consent" }',
            'purposes.marketing = { basis = "wish" }',
            "categories.marketing.purposes.marketing.basis",
        ),
        (
            'then = "delete"\njurisdiction = "DE"',
            'then = "delete"\njurisdiction = "UK"',
            "ceilings.calls_de_6m.jurisdiction: UK is no country: write GB",
        ),
        ('applies_to = ["US"]', 'applies_to = ["EU"]', "rules.calls_us_18m.applies_to.0: EU is no country"),
        (
            'jurisdiction = "EU"',
            'jurisdiction = "XX"',
            "rules.consents_36m.jurisdiction: XX is no country: write its two letters",
        ),
        ('zone = "America/Denver"', 'zone = "America/Nowhere"', "is no time zone"),
    ],
)
def test_what_cannot_hold_is_refused_and_says_where(tmp_path: Path, old: str, new: str, says: str) -> None:
    [name] = [each.name for each in SHIPPED.glob("*.toml") if old in each.read_text(encoding="utf-8")]
    with pytest.raises(Misconfigured, match=str(tmp_path)) as wrong:
        read_policy(changed(tmp_path, old, new, name))
    assert says in str(wrong.value)


def test_a_file_that_is_none_of_the_policy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("")
    with pytest.raises(Misconfigured, match=r"rules\.toml: is no file of the policy; they are categories\.toml"):
        read_policy(tmp_path)
    with pytest.raises(Misconfigured, match="is no folder"):
        read_policy(tmp_path / "nowhere")


def test_a_recipient_outside_the_area_needs_a_safeguard(tmp_path: Path) -> None:
    recipient = '[recipients.x]\nname = "X"\nrole = "processor"\ncountry = "{}"\ncategories = ["{}"]\n'
    recipient += 'contact = {{ phone = "1" }}\nidentified_by = ["name"]\n'
    (tmp_path / "parties.toml").write_text(recipient.format("US", "ticket"))
    with pytest.raises(Misconfigured, match="needs a safeguard"):
        read_policy(tmp_path)
    (tmp_path / "parties.toml").write_text(recipient.format("NO", "horoscope"))
    read_policy.cache_clear()
    with pytest.raises(Misconfigured, match=r"recipients\.x\.categories: horoscope is no category"):
        read_policy(tmp_path)


def test_a_sign_off_holds_from_its_day_to_its_last() -> None:
    signed = SignOff(by="Counsel", on=date(2026, 3, 1), expires=parse_period("P1Y"))
    days = [date(2026, 2, 28), date(2026, 3, 1), date(2027, 3, 1), date(2027, 3, 2)]
    assert [signed.is_valid(day) for day in days] == [False, True, True, False]


def test_what_is_portable_and_what_goes_with_a_consent_follows_from_basis_and_source() -> None:
    policy = read_policy()
    portable = {name for name, each in policy.categories.items() if each.portable}
    assert {"account", "call_record", "marketing"} <= portable
    assert portable.isdisjoint({"customer_communication", "security_log", "backup"})
    assert policy.consents == {"analytics", "marketing", "support"}
    assert {name for name, each in policy.categories.items() if each.by_consent_alone} == {
        "analytics",
        "marketing",
        "support_recording",
    }


# A signed period is written twice: in its rule or ceiling, and in the sign-off.
SIGNED = 'by = "Counsel"\non = 2026-01-01\nexpires = "P1Y"\n'


def saying(folder: Path, table: str, period: str, signed: str) -> Policy:
    text = f'[{table}]\nperiod = "{period}"\n[{table}.sign_off]\n{signed}'
    (folder / "retention.toml").write_text(text, encoding="utf-8")
    return read_policy(folder)


def test_a_period_that_its_sign_off_names_is_signed(tmp_path: Path) -> None:
    policy = saying(tmp_path, "rules.consents_36m", "P30M", f'{SIGNED}period = "P30M"\n')
    assert policy.rules["consents_36m"].signed(date(2026, 10, 1))


@pytest.mark.parametrize("table", ["rules.consents_36m", "ceilings.calls_de_6m"])
@pytest.mark.parametrize(
    ("signed", "says"),
    [
        (SIGNED, 'write period = "P30M" there as well'),
        (f'{SIGNED}period = "P36M"\n', "its sign-off is of P36M"),
        (f'{SIGNED}period = "P30M"\n'.replace("Counsel", "  "), "by"),
    ],
)
def test_blank_or_unspecific_sign_off_is_refused(tmp_path: Path, table: str, signed: str, says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        saying(tmp_path, table, "P30M", signed)


def test_what_is_deleted_before_it_is_anonymised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"is over before ceilings\.analytics_14m has"):
        saying(tmp_path, "ceilings.analytics_26m", "P13M", f'{SIGNED}period = "P13M"\n')


# The check of a policy names each declared system that cannot fulfil it, without asking any.
CALLS = 'fields = ["caller_name", '
CDR = """
[cdr]
adapter = "sql"
dsn_env = "DSR_CDR_DSN"
dataset = "kamailio"
ours = ["us"]
needs = ["phone", "sip_uri"]
"""


def check(over: Path, systems: Path, *more: str) -> tuple[int, str]:
    """The status of ``dsr policy check``, and what it prints."""
    words = ["policy", "check", "--over", str(over), "--systems", str(systems), *more]
    done = CliRunner().invoke(main.app, words)
    return done.exit_code, done.stdout


def test_a_field_that_no_dataset_has_is_named_where_the_policy_is_checked(tmp_path: Path) -> None:
    over = changed(tmp_path, CALLS, 'fields = ["caller_nmae", ')
    status, said = check(over, DEMO, "--json")
    shown = json.loads(said)
    assert (status, shown["usable"], list(shown["systems"])) == (1, True, ["cdr"])
    [slip] = shown["systems"]["cdr"]
    assert slip.startswith("acc_cdrs.keep does not say where caller_nmae is, which calls_us_18m keeps")
    assert f"cdr: {slip}" in check(over, DEMO)[1].splitlines()


def test_a_category_that_a_dataset_does_not_say_how_to_anonymise_is_named(tmp_path: Path) -> None:
    rules = ["calls_us_18m", *(f"calls_bill_{law}" for law in ("de", "fr", "it", "pt")), "dispute"]
    keeps = f'on_erasure = "restrict"\nkept_by = {json.dumps(rules)}'
    over = changed(tmp_path, keeps, 'on_erasure = "anonymise"\nkept_by = []', "categories.toml")
    status, said = check(over, DEMO)
    assert status == 1
    assert "cdr: acc_cdrs holds call_record, which the policy anonymises: declare anonymous" in said


def test_rule_longer_than_a_law_allows_is_status_1(tmp_path: Path) -> None:
    status, said = check(changed(tmp_path, 'applies_to = ["US"]', 'applies_to = ["US", "DE"]'), DEMO)
    assert status == 1
    assert "rules.calls_us_18m keeps longer than ceilings.calls_de_6m, a maximum by law, allows" in said


def test_declared_policy_is_valid_and_unknown_names_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "over").mkdir()
    assert check(tmp_path / "over", DEMO, "--json")[0] == 0
    (tmp_path / "mine.toml").write_text(CDR.replace("ours", "our"), encoding="utf-8")
    status, said = check(tmp_path / "over", tmp_path / "mine.toml")
    assert (status, "cdr: its table cannot be used, so nothing is known of it" in said) == (1, True)
    monkeypatch.setenv("DSR_POLICY_OVERLAY", "/nowhere")
    assert Wiring.of_command(read_policy()).policy.version == read_policy().version, "the one that is checked"


def test_downstreams_check_says_it_by_the_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (over := tmp_path / "over").mkdir()
    monkeypatch.setenv("DSR_POLICY_OVERLAY", str(changed(over, CALLS, 'fields = ["caller_nmae", ')))
    (tmp_path / "mine.toml").write_text(CDR, encoding="utf-8")
    done = CliRunner().invoke(main.app, ["downstreams", "check", str(tmp_path / "mine.toml"), "--file-only", "--text"])
    assert "does not say where caller_nmae is" in done.stdout
    assert done.exit_code == 1


# A country is an ISO 3166 code: other codes are refused with a remedy, and the portal offers exactly these.
ADA = {"email": "ada@example.org"}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("XX", "write its two letters in capitals (ISO 3166-1), as DE"),
        ("ZZ", "as DE"),
        ("AA", "as DE"),
        ("EU", "as DE"),
        ("de", "in capitals"),
        ("Germany", "two letters"),
        ("DE\n", "two letters"),
        ("UK", "write GB"),
        ("EL", "write GR"),
    ],
)
def test_unknown_country_is_refused_with_a_remedy(code: str, says: str) -> None:
    corrected = {"received_at": "2026-03-01T00:00:00Z", "reason": "It lay in the post room.", "country": code}
    for model, said in ((DataSubject, {**ADA, "country": code}), (ArrivalCorrection, corrected)):
        with pytest.raises(ValidationError) as refused:
            TypeAdapter(model).validate_python(said)
        (fault,) = refused.value.errors()
        assert fault["loc"] == ("country",)
        assert says in fault["msg"]
        assert len(code) < len("Germany") or code not in fault["msg"], "nothing that was sent is quoted"


def test_every_assigned_code_is_a_country_and_no_other_but_that_of_kosovo() -> None:
    assert len(COUNTRIES - {"XK"}) == 249, "as ISO 3166-1 has it"
    assert {"DE", "GB", "PN", "AQ", "XK", "BQ", "SS"} <= COUNTRIES
    for code in COUNTRIES:
        DataSubject.model_validate({**ADA, "country": code})


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_portal_offers_every_country_and_nothing_that_would_be_refused(language: Language) -> None:
    assert {code for code, _ in countries(language)} == COUNTRIES


# The country whose law applies to a row, by its words; an unknown one never shortens the period.
CALLS_BY_COUNTRY = """
name = "calls"
[tables.call]
category = "call_record"
primary_key = ["id"]
country = "country"
at = { happened = "began", call_start = "began" }
[tables.call.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
country = { class = "T" }
began = { class = "M" }
"""


def declared(tmp_path: Path) -> Table:
    (tmp_path / "calls.toml").write_text(CALLS_BY_COUNTRY, encoding="utf-8")
    return Dataset.load(str(tmp_path / "calls.toml")).tables["call"]


@pytest.mark.parametrize(
    ("said", "country"),
    [
        *(("DE", "DE"), (" de ", "DE"), ("US", "US")),
        *(("XX", None), ("EU", None), ("D", None), ("", None), (None, None)),
    ],
)
def test_unknown_country_word_leaves_the_law_open(said: str | None, country: str | None) -> None:
    assert country_of(said) == country


def test_a_law_that_no_row_can_name_may_be_that_of_every_row(tmp_path: Path) -> None:
    table = table_of("call", declared(tmp_path))
    policy, rule = signed_policy(), signed_policy().rules["calls_us_18m"]
    rules = {
        f"of_{law.lower()}": rule.model_copy(update={"jurisdiction": law, "where_unknown": WhereUnknown.KEEP})
        for law in ("UK", "DE")
    }
    category = policy.categories["call_record"].model_copy(update={"kept_by": (*rules,)})
    policy = policy.with_other(
        rules={**policy.rules, **rules}, categories={**policy.categories, "call_record": category}
    )
    found = {}
    for said in ("DE", "FR", None):
        row = {"id": 1, "email": "ada@example.org", "country": said, "began": datetime(2026, 1, 2, tzinfo=UTC)}
        record = table.record(row, (), data=False)
        asked = replace(task(Operation.PLAN), at=datetime(2026, 3, 2, tzinfo=UTC))
        [kept_by] = plan_erasure(
            "cdr",
            policy,
            None,
            SubjectRecords(asked, {record.name: OwnedRecord(record, frozenset({None}))}),
            [table.shape],
        ).retained_counts(marked=False)
        found[said] = (kept_by.rule, kept_by.shown)
    assert found["FR"] == ("of_uk", False), "the country is GB, and no word means this one"
    assert found["DE"][0] in rules
    assert found[None][1] is False


LINES: list[tuple[dict[str, str], str | None]] = [
    ({"caller_e164": "+14155550132"}, "calls_us_18m"),
    ({"caller_e164": "+493023125077"}, "calls_bill_de"),
    ({"caller_e164": "+31207940381"}, None),  # no rule is for the Netherlands
    ({"caller": "anonymous", "pai": "+393475551208"}, "calls_bill_it"),
    ({"caller": "anonymous"}, None),  # on no bill
]


def of_call(line: dict[str, str]) -> Plan:
    """The plan of an erasure of a callee's call, which a line has made."""
    table = tables_of(Dataset.load("kamailio"))["acc_cdrs"]
    began = datetime(2026, 1, 2, tzinfo=UTC)
    row = {**dict.fromkeys(table.columns), "id": 1, "start_time": began, "callee_e164": "+351213450862", **line}
    record = table.record(row, (), data=False)
    asked = replace(task(Operation.PLAN), at=datetime(2026, 3, 2, tzinfo=UTC))
    found = SubjectRecords(asked, {record.name: OwnedRecord(record, frozenset({"callee"}))})
    return plan_erasure("cdr", all_signed(read_policy()), None, found, [table.shape])


@pytest.mark.parametrize(("line", "rule"), LINES)
def test_call_is_kept_by_the_rule_for_the_line_that_is_billed(line: dict[str, str], rule: str | None) -> None:
    assert [(each.rule, each.shown) for each in of_call(line).retained_counts(marked=False)] == (
        [(rule, True)] if rule else []
    )


@pytest.mark.parametrize("line", [{"caller_sip": "sip:ada@pbx.example"}, {"caller_e164": "1001"}])
def test_call_of_a_line_without_a_country_needs_an_officer(line: dict[str, str]) -> None:
    refused = of_call(line).refused
    assert isinstance(refused, GroundUnknown)
    assert "calls_us_18m keeps only for US, and nothing there shows the country" in str(refused)


# What systems call what they hold is known to the policy of proofs, else the strictest proof is needed for it.

POLICY = proof_policy()
SHIPPED_CALLED = Path(__file__).parents[2] / "shared" / "policy"


@pytest.mark.parametrize("held", [tuple(OF_TRYTON.values()), tuple(OF_ROUNDUP.values())], ids=["tryton", "roundup"])
def test_the_policy_knows_what_each_kind_of_system_holds(held: tuple[str, ...]) -> None:
    assert POLICY.unknown(held) == []


@pytest.mark.parametrize("path", sorted((SHIPPED_CALLED / "datasets").glob("*.toml")), ids=lambda path: path.stem)
def test_the_policy_knows_what_shipped_datasets_hold(path: Path) -> None:
    assert POLICY.unknown([table.category for table in read_toml(path, Dataset).tables.values()]) == []
