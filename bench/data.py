"""The invented data of the ten workloads, seeded: the same seed and size give the same rows.

    python -m bench.data FOLDER --loans 10000000

writes `loans.parquet` (about 3.45 loans a firm, one to fifty; 6 % of the firms hold more than ten, and a
cut at ten loans loses 18 % of all rows), `firms.parquet` and `districts.parquet`. `policies()` describes them.
"""

from __future__ import annotations

import argparse
import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sandbox_guard.policy.model import (
    Bilingual,
    Budget,
    Classification,
    Column,
    ColumnType,
    Dataset,
    Policies,
    Population,
    Table,
    UnitId,
)

DISTRICTS = tuple(f"district {n:02d}" for n in range(1, 17))
INDUSTRIES = tuple("ABCDEFGHIJKLMNOPQRST")
POSTCODES = 20_000
MOST_LOANS = 50
SLICE = 1_000_000


def loans_per_firm(firms: int, random: np.random.Generator) -> np.ndarray:
    """How many loans each firm holds: a truncated power law, so a few firms hold dozens."""
    counts = np.arange(1, MOST_LOANS + 1)
    weights = (counts + 1.0) ** -2.3
    drawn: np.ndarray = random.choice(counts, size=firms, p=weights / weights.sum())
    drawn[random.integers(firms)] = MOST_LOANS
    return drawn


def write(folder: Path, loans: int, seed: int = 1) -> dict[str, Path]:
    """The three files, by table."""
    random = np.random.default_rng(seed)
    per_firm = loans_per_firm(int(loans * 0.36) + 1, random)
    firms = int(np.searchsorted(np.cumsum(per_firm), loans)) + 1
    owners = np.repeat(np.arange(1, firms + 1), per_firm[:firms])[:loans]
    random.shuffle(owners)
    home = random.choice(16, size=firms + 1, p=_falling(16, 0.8))
    trade = random.choice(20, size=firms + 1, p=_falling(20, 0.6))
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.parquet" for name in ("loans", "firms", "districts")}
    _write_loans(files["loans"], owners, home, trade, random)
    _write_firms(files["firms"], firms, home, random)
    regions = [("north", "east", "south", "west")[n % 4] for n in range(16)]
    pq.write_table(pa.table({"district": list(DISTRICTS), "region": regions}), files["districts"])
    return files


def _falling(size: int, steepness: float) -> np.ndarray:
    weights = np.arange(1, size + 1) ** -steepness
    shares: np.ndarray = weights / weights.sum()
    return shares


def _coded(codes: np.ndarray, names: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(names))


def _write_loans(
    path: Path, owners: np.ndarray, home: np.ndarray, trade: np.ndarray, random: np.random.Generator
) -> None:
    postcodes = _falling(POSTCODES, 0.5)
    writer: pq.ParquetWriter | None = None
    for start in range(0, len(owners), SLICE):
        firm = owners[start : start + SLICE]
        size = len(firm)
        overdue = np.where(random.random(size) < 0.2, random.exponential(40, size), 0).astype(np.int64)
        table = pa.table(
            {
                "loan_id": np.arange(start + 1, start + size + 1),
                "firm_id": firm,
                "district": _coded(home[firm], DISTRICTS),
                "industry": _coded(trade[firm], INDUSTRIES),
                "year": random.integers(2015, 2025, size),
                "postcode": 100_000 + random.choice(POSTCODES, size=size, p=postcodes),
                "amount": np.round(np.minimum(random.lognormal(11.5, 1.4, size), 5_000_000), 2),
                "rate": np.round(2 + random.gamma(2.0, 1.5, size), 3),
                "overdue_days": np.minimum(overdue, 365),
                "defaulted": overdue > 90,
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def _write_firms(path: Path, firms: int, home: np.ndarray, random: np.random.Generator) -> None:
    founded = np.datetime64("1980-01-01") + random.integers(0, 16_000, firms)
    table = pa.table(
        {
            "firm_id": np.arange(1, firms + 1),
            "district": _coded(home[1:], DISTRICTS),
            "employees": np.minimum(random.lognormal(3.0, 1.2, firms).astype(np.int64) + 1, 10_000),
            "founded": pa.array(founded.astype("datetime64[D]")),
            "esg_score": np.round(np.clip(random.normal(55, 18, firms), 0, 100), 1),
        }
    )
    pq.write_table(table, path)


# ------------------------------------------------------------------------------------ policy


def policies(loans: int) -> Policies:
    """Caps at 1.2 times the rows, as WORKLOADS asks."""
    rows = loans * 12 // 10
    dataset = Dataset(
        name="bench",
        title=_both("Bench"),
        classification=Classification.CONDITIONAL,
        department=_both("Bench"),
        update_frequency=_both("never"),
        population="firms",
        budget=Budget(rho=Decimal(1000), delta=Decimal("0.001")),
        invented=True,
        tables={
            "loans": Table(
                title=_both("Loans"),
                unit=("firm_id",),
                max_rows=rows,
                max_rows_per_unit=MOST_LOANS,
                unique=(("loan_id",),),
                columns={
                    "loan_id": _column(ColumnType.INTEGER),
                    "firm_id": _column(ColumnType.INTEGER),
                    "district": _column(ColumnType.STRING, values=DISTRICTS),
                    "industry": _column(ColumnType.STRING, values=INDUSTRIES),
                    "year": _column(ColumnType.INTEGER, bounds=(2015, 2024)),
                    "postcode": _column(
                        ColumnType.INTEGER, bounds=(100_000, 119_999), max_distinct=POSTCODES, key=True
                    ),
                    "amount": _column(ColumnType.NUMBER, bounds=(0, 5_000_000), step=Decimal("0.01")),
                    "rate": _column(ColumnType.NUMBER, bounds=(0, 40), step=Decimal("0.001")),
                    "overdue_days": _column(ColumnType.INTEGER, bounds=(0, 365)),
                    "defaulted": _column(ColumnType.BOOLEAN),
                },
            ),
            "firms": Table(
                title=_both("Firms"),
                unit=("firm_id",),
                max_rows=rows // 3,  # a firm holds 3.45 loans on average
                max_rows_per_unit=1,
                columns={
                    "firm_id": _column(ColumnType.INTEGER),
                    "district": _column(ColumnType.STRING, values=DISTRICTS),
                    "employees": _column(ColumnType.INTEGER, bounds=(0, 10_000)),
                    "founded": _column(ColumnType.DATE, bounds=(dt.date(1980, 1, 1), dt.date(2025, 1, 1))),
                    "esg_score": _column(ColumnType.NUMBER, bounds=(0, 100), step=Decimal("0.1")),
                },
            ),
            "districts": Table(
                title=_both("Districts"),
                max_rows=16,
                unique=(("district",),),
                columns={
                    "district": _column(ColumnType.STRING, values=DISTRICTS),
                    "region": _column(ColumnType.STRING, values=("north", "east", "south", "west")),
                },
            ),
        },
    )
    population = Population(
        name="firms",
        title=_both("Firms"),
        protects=_both("all records of one firm"),
        id=UnitId(type="integer"),
        budget=Budget(rho=Decimal(1000), delta=Decimal("0.001")),
        query_delta=Decimal("1e-7"),
    )
    return Policies(
        populations={"firms": population},
        datasets={"bench": dataset},
        people={},
        projects={},
        analyses={},
        digest="0" * 64,
    )


def _both(words: str) -> Bilingual:
    return Bilingual(zh=words, en=words)


def _column(kind: ColumnType, **facts: object) -> Column:
    return Column.model_validate({"title": _both(kind.value), "type": kind, **facts})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--loans", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    for name, path in write(wanted.folder, wanted.loans, wanted.seed).items():
        print(f"{name:10} {path}")


if __name__ == "__main__":
    main()
