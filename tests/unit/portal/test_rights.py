"""Who may see which page: the whole truth table, and the rule that is named where the answer is no."""

from __future__ import annotations

from hub import access
from sandbox_guard.ledger.wire import Act, Subject
from tests.unit.portal.conftest import PREFIX, Portal

PEOPLE = ("lin", "chen", "bank1", "zhou", "wu")

#                                   lin  chen bank1 zhou  wu
TABLE = {
    "":                            (200, 200, 200, 200, 200),
    "catalogue":                   (200, 200, 200, 200, 200),
    "catalogue/tax":               (200, 200, 200, 200, 200),
    "budgets":                     (200, 200, 200, 200, 200),
    "analyses":                    (200, 200, 200, 200, 200),
    "analyses/green-credit/green-exposure": (200, 403, 200, 403, 403),
    "analyses/credit-inclusion/tax-by-district": (200, 200, 403, 403, 403),
    "analyses/credit-inclusion/green-exposure": (403, 403, 403, 403, 403),
    "results/green-credit/0": (200, 403, 200, 403, 403),
    "audit":                       (403, 403, 403, 200, 403),
    "audit/entries/0":             (403, 403, 403, 200, 403),
    "audit/checkpoint.txt":        (403, 403, 403, 200, 403),
    "audit/public-key.txt":        (403, 403, 403, 200, 403),
    "audit/entries.csv":           (403, 403, 403, 200, 403),
    "audit/entries.parquet":       (403, 403, 403, 200, 403),
    "audit/report":                (403, 403, 403, 200, 403),
    "audit/evidence/green-credit.zip": (403, 403, 403, 200, 403),
    "audit/log.jsonl":             (403, 403, 403, 200, 403),
    "steward":                     (403, 403, 403, 403, 200),
}  # fmt: skip


def test_truth_table_of_roles_and_pages(portal: Portal) -> None:
    found = {
        path: tuple(portal.as_(name).get(PREFIX + path).status_code for name in PEOPLE) for path in TABLE
    }
    assert found == TABLE


def test_every_page_has_its_row() -> None:
    from hub.portal import analyses, audit, budgets, catalogue, home, report, steward

    rows = {path.split("?")[0] for path in TABLE}
    for module in (home, catalogue, budgets, analyses, audit, report, steward):
        for route in module.router.routes:
            if "GET" not in route.methods or route.path.endswith("table.csv"):
                continue
            pattern = [p for p in route.path.strip("/").split("/") if p]
            assert any(
                len(row.strip("/").split("/") if row else []) == len(pattern)
                and all(p.startswith("{") or p == r for p, r in zip(pattern, row.split("/"), strict=False))
                for row in rows
            ), route


def test_a_denied_page_names_the_rule(portal: Portal) -> None:
    for path in ("audit", "steward"):
        for language in ("zh", "en"):
            assert "offices" in portal.as_("lin", language).get(PREFIX + path).text


def test_a_foreign_project_and_one_there_is_not_read_alike(portal: Portal) -> None:
    bank = portal.as_("bank1", "en")
    foreign = bank.get(PREFIX + "analyses/health-cover/x").text.replace("health-cover", "NAME")
    nothing = bank.get(PREFIX + "analyses/no-such-one/x").text.replace("no-such-one", "NAME")
    assert foreign == nothing


def test_an_office_that_the_hub_does_not_confirm_counts_for_nothing(portal: Portal) -> None:
    portal.hub.without = {access.AUDIT}
    answer = portal.as_("zhou", "en").get(PREFIX + "audit")
    assert answer.status_code == 403 and "Sign out and in again" in answer.text


def test_suspension_closes_the_form_at_once_and_says_why(portal: Portal) -> None:
    act = Act(actor="wu", reason="investigation")
    portal.ledger.suspend(Subject(kind="project", name="green-credit"), act)
    answer = portal.as_("bank1", "en").get(PREFIX + "analyses/green-credit/green-exposure")
    assert answer.status_code == 403 and "suspended" in answer.text
    assert "investigation" not in answer.text, "the reason is for stewards and auditors"
    assert "investigation" in portal.as_("wu").get(PREFIX + "steward").text


def test_members_see_their_own_budgets_and_auditors_all(portal: Portal) -> None:
    def budgets(name: str) -> str:
        return str(portal.as_(name, "en").get(PREFIX + "budgets").text)

    assert "My own · Inclusive credit" in budgets("lin")
    assert "陈研究员" not in budgets("lin") and "(lin)" not in budgets("chen")
    assert "Hospital" not in budgets("bank1")
    for office in ("zhou", "wu"):
        assert "(lin)" in budgets(office) and "(bank1)" in budgets(office)


def test_every_page_says_that_sandboxes_isolate_little(portal: Portal) -> None:
    for path in TABLE:
        if not path.endswith((".txt", ".jsonl", ".csv", ".parquet", ".zip")):
            for name in PEOPLE:
                assert "isolate little" in portal.as_(name, "en").get(PREFIX + path).text, (path, name)
            assert "几乎没有隔离" in portal.as_("lin").get(PREFIX + path).text, path


def test_invented_data_is_marked_wherever_it_appears(portal: Portal) -> None:
    pages = {
        "lin": ("", "catalogue", "catalogue/tax", "budgets", "analyses"),
        "zhou": ("audit",),
        "wu": ("steward",),
    }
    for name, paths in pages.items():
        for path in paths:
            assert "虚构数据" in portal.as_(name).get(PREFIX + path).text, (name, path)


def test_the_catalogue_holds_every_dataset_table_and_column(portal: Portal) -> None:
    lin = portal.as_("lin", "en")
    for name, dataset in portal.policies.datasets.items():
        page = lin.get(f"{PREFIX}catalogue/{name}").text
        for table_name, table in dataset.tables.items():
            assert f"<code>{table_name}</code>" in page
            for column in table.columns:
                assert f"<code>{column}</code>" in page
    assert "Tax" in lin.get(PREFIX + "catalogue?q=tax_grade").text
    assert "Hospital" not in lin.get(PREFIX + "catalogue?q=tax_grade").text
