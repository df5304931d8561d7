"""Tables that reach their unit through a declared foreign key (DESIGN section 3): tied by it, and by it alone."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox_guard.errors import Refused
from sandbox_guard.policy.model import Policies, Table
from sandbox_guard.sql.printer import print_block
from tests import firms, oracle
from tests.oracle import Neighbours

TITLE = {"zh": "一", "en": "A"}
WHOLE = {"title": TITLE, "type": "integer"}


def policies() -> Policies:
    """The small city with payments on loans, and reminders of payments."""
    read = firms.policies()
    small = read.datasets["small"]
    loans = small.tables["loans"].model_copy(update={"unique": (("loan_id",),)})
    payments = Table.model_validate(
        {
            "title": TITLE,
            "unit_through": {"column": "loan_id", "references": "loans.loan_id"},
            "max_rows": 500,
            "max_rows_per_unit": 6,
            "unique": [["payment_id"]],
            "columns": {
                "payment_id": WHOLE,
                "loan_id": WHOLE,
                "paid": {"title": TITLE, "type": "number", "step": "0.01", "bounds": [0, 10000]},
                "paid_on": {"title": TITLE, "type": "date", "bounds": [dt.date(2020, 1, 1), dt.date(2024, 12, 31)]},
            },
        }
    )  # fmt: skip
    reminders = Table.model_validate(
        {
            "title": TITLE,
            "unit_through": {"column": "payment_id", "references": "payments.payment_id"},
            "max_rows": 500,
            "max_rows_per_unit": 4,
            "columns": {"payment_id": WHOLE, "level": WHOLE | {"values": [1, 2, 3]}},
        }
    )
    tables = {**small.tables, "loans": loans, "payments": payments, "reminders": reminders}
    return read.model_copy(
        update={"datasets": {**read.datasets, "small": small.model_copy(update={"tables": tables})}}
    )


def rows() -> dict[str, list[dict[str, Any]]]:
    draw = random.Random(7)
    given = firms.extreme()
    loans = [loan["loan_id"] for loan in given["loans"]]
    payments = [
        {"payment_id": i, "loan_id": draw.choice(loans), "paid": draw.randrange(10_000), "paid_on": dt.date(2020 + i % 5, 3, 1)}
        for i in range(90)
    ]  # fmt: skip
    reminders = [{"payment_id": draw.randrange(90), "level": 1 + i % 3} for i in range(60)]
    return {**given, "payments": payments, "reminders": reminders}


@pytest.fixture(scope="module")
def city() -> Iterator[Neighbours]:
    """Without each firm in turn, its loans, their payments and so on with it: as its source would be."""
    all_of_it = rows()
    found = oracle.neighbours(policies(), all_of_it, units=[1, 2, 3, 42])
    yield found
    found.close()


TIED = [
    "SELECT count(*), sum(paid) FROM payments",
    "SELECT year(paid_on) AS y, sum(paid) FROM payments GROUP BY y",
    "SELECT l.district, sum(p.paid) FROM payments p JOIN loans l ON p.loan_id = l.loan_id GROUP BY l.district",
    "SELECT l.district, avg(p.paid), count(DISTINCT l.firm_id) FROM loans l JOIN payments p USING (loan_id) GROUP BY 1",
    "SELECT count(*) FROM payments p, loans l WHERE l.loan_id = p.loan_id AND l.defaulted",
    "SELECT f.district, sum(p.paid) FROM firms f JOIN loans l USING (firm_id) JOIN payments p USING (loan_id) GROUP BY 1",
    "SELECT count(*) FROM loans l LEFT JOIN payments p USING (loan_id) WHERE p.payment_id IS NULL",
    "SELECT count(*) FROM payments WHERE loan_id IN (SELECT loan_id FROM loans WHERE overdue_days > 30)",
    "SELECT count(*) FROM loans l WHERE NOT EXISTS (SELECT 1 FROM payments p WHERE p.loan_id = l.loan_id)",
    "SELECT count(*) FROM loans l ANTI JOIN payments p USING (loan_id)",
    "SELECT r.level, count(*), sum(p.paid) FROM reminders r JOIN payments p USING (payment_id) GROUP BY r.level",
    "SELECT l.year, count(*) FROM reminders r JOIN payments p USING (payment_id) JOIN loans l USING (loan_id) GROUP BY 1",
    "SELECT avg(t) FROM (SELECT l.firm_id, sum(p.paid) AS t FROM loans l JOIN payments p USING (loan_id) GROUP BY l.firm_id)",
    "SELECT avg((SELECT sum(p.paid) FROM payments p WHERE p.loan_id = l.loan_id)) FROM loans l",
    "WITH late AS (SELECT payment_id, loan_id FROM payments WHERE paid_on > DATE '2022-01-01') SELECT count(*) FROM late JOIN reminders USING (payment_id)",
    "SELECT count(*) FROM (SELECT loan_id FROM payments UNION SELECT loan_id FROM loans)",
    "SELECT count(*) FROM loans a JOIN loans b USING (loan_id)",
]  # fmt: skip


@pytest.mark.parametrize("sql", TIED)
def test_no_firm_moves_it_further_than_declared(city: Neighbours, sql: str) -> None:
    assert city.moves(city.planned(sql)) == []


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT count(*) FROM payments, reminders", "kind.untied"),
        ("SELECT count(*) FROM payments p JOIN loans l ON p.payment_id = l.loan_id", "kind.untied"),
        ("SELECT count(*) FROM payments p JOIN loans l ON p.loan_id = l.firm_id", "kind.untied"),
        ("SELECT count(*) FROM payments p JOIN loans l ON p.loan_id + 0 = l.loan_id", "kind.untied"),
        ("SELECT count(*) FROM payments p JOIN loans l ON p.loan_id >= l.loan_id", "kind.untied"),
        ("SELECT count(*) FROM reminders r JOIN loans l ON r.payment_id = l.loan_id", "kind.untied"),
        ("SELECT count(*) FROM loans l LEFT JOIN payments p ON l.firm_id = p.loan_id", "kind.untied_outer"),
        ("SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM payments p WHERE p.payment_id = l.loan_id)", "kind.untied_subquery"),
        ("SELECT count(*) FROM (SELECT paid FROM payments UNION SELECT amount FROM loans)", "kind.set_unit"),
        ("SELECT loan_id, sum(paid) FROM payments", "sql.not_grouped"),
    ],
)  # fmt: skip
def test_what_does_not_lead_to_the_unit_does_not_tie(city: Neighbours, sql: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        city.planned(sql)
    assert refused.value.code == code


def test_a_tie_by_key_is_printed_on_the_dense_ids_too(city: Neighbours) -> None:
    planned = city.planned("SELECT count(*) FROM payments p JOIN loans l ON p.loan_id = l.loan_id")
    assert print_block(planned.blocks[0]).count(" = ") == 2
