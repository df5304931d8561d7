"""From the form to the result, before a real vault and a real ledger: price first, pay once, lose nothing."""

from __future__ import annotations

import csv
import io
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from sandbox_guard.ledger.wire import Asker, EntryFilter, EntryKind
from tests.ledgers import question, request
from tests.unit.portal.conftest import PREFIX, Portal

FORM = PREFIX + "analyses/green-credit/default-by-tax-grade"


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the form."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="(\w*)"', page))


def spent(portal: Portal) -> int:
    """By bank1, in units of account."""
    return sum(b.spent.rho for b in portal.ledger.all_guarantees() if b.account.member == "bank1")


def charges(portal: Portal) -> int:
    return len(portal.ledger.entries(EntryFilter(kind=EntryKind.CHARGE)).entries)


def filled(portal: Portal, **values: str) -> tuple[httpx.Client, dict[str, str]]:
    browser = portal.as_("bank1", "en")
    page = browser.get(FORM)
    assert page.status_code == 200
    return browser, {**hidden(page.text), "period": "2022Q2", "min_balance": "0", "action": "run", **values}


def test_the_form_shows_defaults_and_the_price_and_spends_nothing(answering: Portal) -> None:
    page = answering.as_("bank1", "en").get(FORM).text
    assert (
        "Price before you run" in page
        and "of your project&#39;s budget" in page
        or "project's budget" in page
    )
    assert re.search(r"About <strong>\d+</strong> more like it fit", page)
    assert "± " in page and 'value="2022Q2" selected' in page
    assert spent(answering) == 0


def test_a_run_leads_to_the_page_of_its_release_and_reloading_is_free(answering: Portal) -> None:
    browser, sent = filled(answering)
    done = browser.post(FORM, data=sent)
    assert done.status_code == 303 and "/results/green-credit/" in done.headers["location"]
    paid = spent(answering)
    assert paid > 0
    first, second = (browser.get(done.headers["location"]) for _ in range(2))
    assert first.status_code == 200 and first.text == second.text
    for expected in (
        "Receipt",
        "Reliability",
        "± ",
        "<svg",
        "Default rate",
        "Q2 2022",
        "95 of 100",
    ):
        assert expected in first.text, expected
    assert spent(answering) == paid and charges(answering) == 1
    listed = browser.get(PREFIX + "analyses").text
    assert done.headers["location"] in listed and "Quarter: Q2 2022" in listed


def test_double_click_two_tabs_and_retry_pay_once_and_show_one_release(answering: Portal) -> None:
    browser, sent = filled(answering)
    with ThreadPoolExecutor(2) as clicks:
        done = list(clicks.map(lambda _: answering.as_("bank1").post(FORM, data=sent), range(2)))
    again = browser.post(FORM, data=sent)
    other_tab, sent_there = filled(answering)
    done += [again, other_tab.post(FORM, data=sent_there)]
    assert {d.headers["location"].partition("?")[0] for d in done} == {
        done[0].headers["location"].partition("?")[0]
    }
    (charge,) = answering.site.ledger.entries(kind="charge").entries
    assert charge.facts["request_id"] == sent["request_id"], "the form's own id reached the ledger"
    notice = browser.get(again.headers["location"]).text
    assert "nothing was charged this time" in notice


def test_a_mistake_is_told_as_the_pattern_says_and_costs_nothing(answering: Portal) -> None:
    browser, sent = filled(answering, min_balance="2000000", period="2030Q1")
    page = browser.post(FORM, data=sent)
    assert page.status_code == 422 and "<title>Error: " in page.text
    text = page.text
    summary = text[text.index('class="error-summary"') : text.index("<h1>")]
    assert "autofocus" in summary and 'tabindex="-1"' in summary and "Nothing was charged" in summary
    for name, words in (
        ("min_balance", "“Least balance (CNY)” must be between 0 and 1,000,000"),
        ("period", "“Quarter” must be one of the list"),
    ):
        assert f'<a href="#{name}">{words}</a>' in summary
        assert re.search(rf'id="{name}-error">.*?{re.escape(words)}', text)
        assert f'id="{name}"' in text
    assert 'value="2000000"' in text, "what was typed stays"
    assert spent(answering) == 0 and charges(answering) == 0


def test_the_price_of_other_values_is_shown_without_running(answering: Portal) -> None:
    browser, sent = filled(answering, min_balance="5,000", action="price")
    page = browser.post(FORM, data=sent)
    assert page.status_code == 200 and 'value="5,000"' in page.text and "Price before" in page.text
    assert charges(answering) == 0


def test_a_form_of_another_site_does_nothing(answering: Portal) -> None:
    browser, sent = filled(answering)
    page = browser.post(FORM, data={**sent, "form_token": "guessed"})
    assert page.status_code == 403 and charges(answering) == 0


def test_an_exhausted_budget_is_refused_in_words_and_costs_nothing(answering: Portal) -> None:
    digest = answering.policies.analyses["tax-by-district"].digest
    asked = question("tax", "tax").model_copy(
        update={"analysis": "tax-by-district", "analysis_digest": digest}
    )
    dear = request(asked, rho=249_000_000, policy_digest=answering.policies.digest)
    answering.ledger.charge(Asker(member="bank1", project="green-credit"), dear)
    before = spent(answering)
    browser, sent = filled(answering)
    page = browser.post(FORM, data=sent)
    assert page.status_code == 422 and "budget does not cover this" in page.text
    assert "Nothing was charged" in page.text and spent(answering) == before


def test_csv_carries_intervals_receipt_and_cost(answering: Portal) -> None:
    browser, sent = filled(answering)
    path = browser.post(FORM, data=sent).headers["location"]
    file = browser.get(path + "/table.csv")
    assert file.headers["content-type"].startswith("text/csv")
    lines = file.text.lstrip("\ufeff").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert any("receipt" in line and path.rpartition("/")[2] in line for line in comments)
    assert any(line.startswith("# cost") for line in comments)
    assert '# parameters: {"min_balance": "0", "period": "2022Q2"}' in comments
    assert "# invented_data: true" in comments
    rows = list(csv.DictReader(io.StringIO("\n".join(line for line in lines if not line.startswith("#")))))
    assert len(rows) == 5
    measure = next(name for name in rows[0] if name.endswith("_low")).removesuffix("_low")
    for row in rows:
        assert float(row[measure + "_low"]) <= float(row[measure]) <= float(row[measure + "_high"])


def test_a_release_of_another_project_is_not_there(answering: Portal) -> None:
    assert answering.as_("bank1").get(PREFIX + "results/green-credit/" + "0" * 32).status_code == 404


def test_while_the_sandbox_starts_the_page_refreshes_itself(portal: Portal) -> None:
    page = portal.as_("bank1", "en").get(FORM)
    assert page.status_code == 200 and int(page.headers["refresh"]) <= 2
    assert "Starting the analysis sandbox" in page.text and "<progress" in page.text


def test_a_start_that_failed_says_why_and_stops_refreshing(portal: Portal) -> None:
    portal.hub.fails = "the vault stopped"
    browser = portal.as_("bank1", "en")
    for _ in range(50):
        page = browser.get(FORM)
        if "refresh" not in page.headers:
            break
    assert page.status_code == 503 and "the vault stopped" in page.text and "Nothing was charged" in page.text


def test_a_sandbox_that_fell_asleep_keeps_what_was_typed(answering: Portal) -> None:
    browser, sent = filled(answering, min_balance="777")
    answering.hub.ready.clear()
    back = browser.post(FORM, data=sent)
    assert back.status_code == 303 and "min_balance=777" in back.headers["location"]
    answering.hub.ready.add("bank1/green-credit-analyses")
    assert 'value="777"' in browser.get(back.headers["location"]).text


@pytest.mark.parametrize("name", ["tax-by-district", "environment-penalties", "green-exposure"])
def test_every_analysis_of_the_project_runs(answering: Portal, name: str) -> None:
    browser = answering.as_("bank1")
    form = PREFIX + f"analyses/green-credit/{name}"
    sent = {**hidden(browser.get(form).text), "action": "run"}
    done = browser.post(form, data=sent)
    assert done.status_code == 303
    assert "凭证" in browser.get(done.headers["location"]).text
