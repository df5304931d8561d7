"""The auditor finds entries, sees both of a charge together, and gets what verification needs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sandbox_guard.ledger.verify import verify, verify_evidence
from sandbox_guard.ledger.wire import Act, Asker, RefusalReport, Subject
from tests.ledgers import question, request
from tests.unit.portal.conftest import PREFIX, Portal

LIN = Asker(member="lin", project="credit-inclusion")


@pytest.fixture
def charged(portal: Portal) -> str:
    """A charge with its release, a refusal, a suspension; the charge's id."""
    digest = portal.policies.digest
    asked = request(
        question("tax", "tax"), policy_digest=digest, sql="SELECT count(*) FROM tax WHERE period = '2022Q2'"
    )
    charge = portal.ledger.charge(LIN, asked)
    portal.ledger.publish(LIN, charge.charge_id, json.dumps({"rows": {}}))
    portal.ledger.refuse(
        LIN,
        RefusalReport(
            request_id="refused-1", sql="SELECT <b>uscc</b>", code="budget.member", policy_digest=digest
        ),
    )
    portal.ledger.suspend(Subject(kind="member", name="chen"), Act(actor="wu", reason="on leave"))
    return charge.charge_id


def page(portal: Portal, path: str) -> str:
    answer = portal.as_("zhou", "en").get(PREFIX + path)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def table(text: str) -> str:
    return text[text.index("<tbody>") : text.index("</tbody>")]


def test_filters_narrow(portal: Portal, charged: str) -> None:
    assert "2022Q2" in table(page(portal, "audit?actor=lin"))
    assert "2022Q2" not in table(page(portal, "audit?actor=wu"))
    assert "2022Q2" in table(page(portal, "audit?project=credit-inclusion&kind=charge&dataset=tax"))
    assert "2022Q2" not in table(page(portal, "audit?kind=refusal"))
    assert "budget.member" in table(page(portal, "audit?code=budget.member"))
    assert "on leave" in table(page(portal, "audit?text=on+leave"))
    assert "No entry matches" in table(page(portal, "audit?until=2001-01-01"))
    assert "2022Q2" in table(page(portal, "audit?since=2001-01-01&until=2999-01-01"))


def test_cost_narrows_and_a_cost_that_is_none_is_told(portal: Portal, charged: str) -> None:
    assert "2022Q2" in table(page(portal, "audit?cost=0.00000001"))
    assert "2022Q2" not in table(page(portal, "audit?cost=0.1"))
    for wrong in ("much", "-1", "NaN", "1e400"):
        answer = portal.as_("zhou", "en").get(PREFIX + "audit?cost=" + wrong)
        assert answer.status_code == 422 and 'id="cost-error"' in answer.text


def test_the_entries_that_match_are_taken_away_as_tables(portal: Portal, charged: str) -> None:
    refusal = RefusalReport(
        request_id="refused-2", sql="=HYPERLINK(1)", code="sql.syntax", policy_digest=portal.policies.digest
    )
    portal.ledger.refuse(LIN, refusal)
    answer = portal.as_("zhou").get(PREFIX + "audit/entries.csv?kind=refusal")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["sql"] for row in rows] == ["'=HYPERLINK(1)", "SELECT <b>uscc</b>"]
    answer = portal.as_("zhou").get(PREFIX + "audit/entries.parquet?kind=refusal")
    assert pq.read_table(io.BytesIO(answer.content))["sql"].to_pylist()[0] == "=HYPERLINK(1)"
    assert portal.as_("zhou").get(PREFIX + "audit/entries.csv?since=x").status_code == 404


def test_a_projects_evidence_is_checked_with_the_verifier_alone(
    portal: Portal, charged: str, tmp_path: Path
) -> None:
    answer = portal.as_("zhou").get(PREFIX + "audit/evidence/credit-inclusion.zip")
    bundle = tmp_path / "evidence.zip"
    bundle.write_bytes(answer.content)
    assert verify_evidence(bundle, page(portal, "audit/public-key.txt")).good
    assert portal.as_("zhou").get(PREFIX + "audit/evidence/none.zip").status_code == 404


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_months_report_sums_what_the_log_says(portal: Portal, charged: str, language: str) -> None:
    answer = portal.as_("zhou", language).get(PREFIX + "audit/report?project=credit-inclusion")
    assert answer.status_code == 200
    text = answer.text
    assert "<svg" in text and text.count("<rect") == 1 and "1e-08" in text
    assert "1 × <code>budget.member</code>" in text and "on leave" in text and "(lin)" in text
    empty = portal.as_("zhou", language).get(PREFIX + "audit/report?project=green-credit&month=2001-02")
    assert "<svg" not in empty.text and "2001-02" in empty.text and empty.status_code == 200


def test_a_report_of_what_is_not_there_is_told_at_its_field(portal: Portal) -> None:
    answer = portal.as_("zhou", "en").get(PREFIX + "audit/report?project=none&month=lately")
    assert answer.status_code == 422
    assert 'id="project-error"' in answer.text and 'id="month-error"' in answer.text


def test_a_date_that_is_none_is_told_at_its_field(portal: Portal) -> None:
    answer = portal.as_("zhou", "en").get(PREFIX + "audit?since=tomorrow")
    assert answer.status_code == 422 and "<title>Error: " in answer.text
    assert '<a href="#since">' in answer.text and 'id="since-error"' in answer.text


@pytest.mark.parametrize(
    "query", ["before=x", "before=999999999999999999999", "kind=nonsense", "text=%00'\"%25"]
)
def test_odd_queries_show_a_page(portal: Portal, charged: str, query: str) -> None:
    page(portal, "audit?" + query)


def test_both_entries_of_a_charge_stand_together(portal: Portal, charged: str) -> None:
    (position,) = [e["position"] for e in _entries(portal, "charge")]
    text = page(portal, f"audit/entries/{position}")
    assert text.count(charged) >= 2 and "charge" in text and "release" in text
    (other,) = [e["position"] for e in _entries(portal, "release")]
    assert f'id="entry-{position}"' in page(portal, f"audit/entries/{other}")


def _entries(portal: Portal, kind: str) -> list[dict[str, object]]:
    return [e.model_dump() for e in portal.site.ledger.entries(kind=kind).entries]


def test_what_people_typed_is_text_and_never_markup(portal: Portal, charged: str) -> None:
    assert "<b>uscc</b>" not in page(portal, "audit") and "&lt;b&gt;uscc" in page(portal, "audit")


def test_pages_lead_from_the_newest_to_the_oldest(portal: Portal) -> None:
    for n in range(30):
        portal.ledger.suspend(Subject(kind="member", name="chen"), Act(actor="wu", reason=f"reason {n}"))
    first = page(portal, "audit")
    older = first[first.index('rel="next" href="') + 17 :].split('"')[0].replace("&amp;", "&")
    second = page(portal, "audit" + older)
    assert "reason 29" in first and "reason 0" in second and "reason 29" not in second


def test_downloads_verify(portal: Portal, charged: str, tmp_path: Path) -> None:
    log, key, note = (
        page(portal, f"audit/{name}") for name in ("log.jsonl", "public-key.txt", "checkpoint.txt")
    )
    file = tmp_path / "log.jsonl"
    file.write_text(log, "ascii")
    with file.open("rb") as lines:
        assert verify(lines, key, [note]).good
    file.write_text(log.replace("on leave", "on Leave"), "ascii")
    with file.open("rb") as lines:
        assert not verify(lines, key, [note]).good
