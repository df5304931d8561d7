"""The invented city of Lanting: firms and persons, generated from a seed.

Nothing here is real. District names do not exist, and unified social credit codes carry the
administrative prefix 99, which is assigned to no place; their check characters are right.

Firms are generated in chunks, each from a random stream of its own, so that millions of them need no
more memory than one chunk, and the same seed and number of firms always give the same city. Two
hidden traits tie a firm's records together: its size, and its risk, which worsens tax grade,
overdue bills, environmental rating and default alike.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Columns = dict[str, Any]
"""Column name to Arrow array."""

FIRMS = 50_000
SEED = 20220701
CHUNK = 20_000
"""Firms, and persons, in memory at once."""

DISTRICTS = (
    ("Yunting", "云汀区", "Central"),
    ("Jichuan", "霁川区", "Central"),
    ("Chengwan", "澄湾区", "Central"),
    ("Qiwu", "栖梧区", "Central"),
    ("Lanqiao", "岚桥区", "East"),
    ("Mujiang", "沐江区", "East"),
    ("Wangxi", "望汐区", "East"),
    ("Yanpu", "砚浦区", "East"),
    ("Luyin", "麓音区", "West"),
    ("Tongzhu", "桐渚区", "West"),
    ("Qinglu", "晴麓区", "West"),
    ("Yundu", "芸渡区", "West"),
    ("Fengtan", "枫潭区", "South"),
    ("Yinghu", "萤湖区", "South"),
    ("Zhanglan", "樟澜区", "South"),
    ("Xuezhu", "雪渚区", "South"),
)


@dataclass(frozen=True)
class Industry:
    code: str
    name_zh: str
    name_en: str
    share: float
    """Of all firms, in percent."""
    scale: float
    """Log of a middling firm's quarterly revenue in CNY."""
    power: float
    """Log of its monthly kWh."""
    dirt: float
    """Added to the risk of a bad environmental rating."""


INDUSTRIES = (
    Industry("A", "农、林、牧、渔业", "Agriculture, forestry and fishing", 3.0, 12.4, 7.6, 0.3),
    Industry("B", "采矿业", "Mining", 0.3, 14.6, 10.2, 1.3),
    Industry("C", "制造业", "Manufacturing", 17.0, 14.2, 9.6, 0.8),
    Industry("D", "电力、热力、燃气及水生产和供应业", "Utilities", 0.5, 14.8, 10.4, 0.9),
    Industry("E", "建筑业", "Construction", 8.0, 13.9, 7.8, 0.6),
    Industry("F", "批发和零售业", "Wholesale and retail trade", 30.0, 13.4, 6.9, -0.4),
    Industry("G", "交通运输、仓储和邮政业", "Transport, storage and post", 4.0, 13.6, 7.7, 0.3),
    Industry("H", "住宿和餐饮业", "Hotels and catering", 4.5, 12.3, 7.9, 0.1),
    Industry(
        "I", "信息传输、软件和信息技术服务业", "Information and software services", 7.0, 13.3, 7.2, -0.8
    ),
    Industry("J", "金融业", "Finance", 0.7, 14.7, 7.3, -0.9),
    Industry("K", "房地产业", "Real estate", 2.5, 14.1, 7.4, 0.0),
    Industry("L", "租赁和商务服务业", "Leasing and business services", 10.0, 13.0, 6.7, -0.6),
    Industry("M", "科学研究和技术服务业", "Research and technical services", 5.5, 13.1, 7.1, -0.6),
    Industry(
        "N", "水利、环境和公共设施管理业", "Water, environment and public facilities", 0.7, 13.3, 7.7, 0.2
    ),
    Industry("O", "居民服务、修理和其他服务业", "Household services and repairs", 2.8, 12.0, 6.8, 0.1),
    Industry("P", "教育", "Education", 1.2, 12.5, 7.0, -0.7),
    Industry("Q", "卫生和社会工作", "Health and social work", 0.8, 13.2, 7.9, 0.0),
    Industry("R", "文化、体育和娱乐业", "Culture, sports and entertainment", 1.3, 12.4, 7.0, -0.5),
    Industry("S", "公共管理、社会保障和社会组织", "Public administration", 0.15, 12.0, 7.2, -0.8),
    Industry("T", "国际组织", "International organisations", 0.05, 12.6, 6.9, -0.9),
)

QUARTERS = tuple(f"{year}Q{quarter}" for year in (2021, 2022) for quarter in (1, 2, 3, 4))
MONTHS = tuple(f"{year}-{month:02}" for year in (2021, 2022) for month in range(1, 13))
YEARS = (2020, 2021, 2022)
GRADES = ("A", "B", "M", "C", "D")
LEVELS = ("green", "blue", "yellow", "red")
BANKS = ("B1", "B2", "B3", "B4", "B5")
AGES = ("0-14", "15-24", "25-34", "35-44", "45-54", "55-64", "65-74", "75+")
CHAPTERS = (
    *("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI"),
    *("XII", "XIII", "XIV", "XV", "XVI", "XVII", "XVIII", "XIX", "XX", "XXI", "XXII"),
)
PRODUCTS = ("city_cover", "major_medical", "critical_illness", "accident")

TABLES = ("district", "industry", "ent", "tax", "si", "elec", "loan", "esg", "visit", "claim")


def generate(
    directory: Path,
    firms: int = FIRMS,
    seed: int = SEED,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Path]:
    """Write `<table>.parquet` for every table of the city into `directory`, and return the paths.

    There are as many persons as firms. `progress(done, total)` is called after each chunk.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files = _Files(directory, stack)
        for table, columns in _reference():
            files.write(table, columns)
        loans = 0
        for start in range(0, firms, CHUNK):
            size = min(CHUNK, firms - start)
            rng = np.random.default_rng([seed, start // CHUNK])
            city = _found(rng, seed, start, size)
            for table, columns in (
                ("ent", _register(rng, city)),
                ("tax", _tax(rng, city)),
                ("si", _social_security(rng, city)),
                ("elec", _electricity(rng, city)),
                ("loan", _loans(rng, city, loans)),
                ("esg", _environment(rng, city)),
                *_health(rng, seed, start, size),
            ):
                loans += len(columns["uscc"]) if table == "loan" else 0
                files.write(table, columns)
            progress(start + size, firms)
    return files.publish()


def scale_policies(source: Path, target: Path, firms: int) -> None:
    """Copy the policy folder, with row caps for a city of `firms` instead of FIRMS.

    Caps decide how long a query may take, so the default city keeps tight ones.
    """
    shutil.copytree(source, target, dirs_exist_ok=True)
    for path in (target / "datasets").glob("*.yaml"):
        text = path.read_text("utf-8")
        lines = text.splitlines()
        if "invented: true" in lines and any(line.startswith("population:") for line in lines):
            path.write_text(_MAX_ROWS.sub(lambda m: f"{m[1]}{_scaled(m[2], firms)}", text), "utf-8")


_MAX_ROWS = re.compile(r"^( +max_rows: )([0-9_]+)$", re.MULTILINE)


def _scaled(cap: str, firms: int) -> str:
    return f"{-(-int(cap) * firms // FIRMS):_}"


class _Files:
    """One growing Parquet file a table, under its final name only once all are whole."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.writers: dict[str, Any] = {}

    def write(self, table: str, columns: Columns) -> None:
        rows = pa.table(columns)
        if table not in self.writers:
            writer = pq.ParquetWriter(self._part(table), rows.schema, compression="zstd")
            self.writers[table] = self.stack.enter_context(writer)
        self.writers[table].write_table(rows)

    def publish(self) -> dict[str, Path]:
        return {
            table: self._part(table).replace(self.directory / f"{table}.parquet") for table in self.writers
        }

    def _part(self, table: str) -> Path:
        return self.directory / f".{table}.parquet.part"


# ------------------------------------------------------------------------------------------- firms


@dataclass(frozen=True)
class _Firms:
    """One chunk of firms: an entry of each array a firm."""

    uscc: Any
    district: Ints
    industry: Ints
    founded: Ints
    """Days since 1970."""
    size: Floats
    """Hidden, about normal: log of how large it is among its industry."""
    risk: Floats
    """Hidden, about normal: larger is worse."""
    srdi: Bools

    def of_industry(self, trait: str) -> Floats:
        return np.array([getattr(industry, trait) for industry in INDUSTRIES])[self.industry]


def _found(rng: np.random.Generator, seed: int, start: int, n: int) -> _Firms:
    popularity = 1 / np.arange(2, len(DISTRICTS) + 2) ** 0.6
    district = rng.choice(len(DISTRICTS), n, p=popularity / popularity.sum())
    share = np.array([industry.share for industry in INDUSTRIES])
    industry = rng.choice(len(INDUSTRIES), n, p=share / share.sum())
    founded = _day("2022-12-31") - (rng.beta(1.1, 3.2, n) * (_day("2022-12-31") - _day("1980-01-01"))).astype(
        int
    )
    age = (_day("2022-12-31") - founded) / 365.25
    size = rng.normal(0, 1, n) + 0.02 * age
    risk = rng.normal(0, 1, n) - 0.15 * size - 0.01 * age
    inventive = np.isin(industry, [2, 8, 12])
    srdi = rng.random(n) < np.where(inventive, 0.05, 0.004) * np.exp(0.6 * size) * (age > 3)
    return _Firms(_uscc(seed, start, district), district, industry, founded, size + 0.5 * srdi, risk, srdi)


_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = np.array([pow(3, i, 31) for i in range(17)])
_ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2])


def _uscc(seed: int, start: int, district: Ints) -> Any:
    """Codes of 18 characters with both check characters: 91, 9901 and the district, eight digits that
    scatter the firm's number, their check (mod 11), and the check of the whole (mod 31)."""
    n = len(district)
    digits = np.empty((n, 18), np.int64)
    digits[:, :6] = [9, 1, 9, 9, 0, 1]
    digits[:, 6], digits[:, 7] = (district + 1) // 10, (district + 1) % 10
    digits[:, 8:16] = _scattered(seed, start, n, 8)
    check = (11 - digits[:, 8:16] @ _ORGANISATION_WEIGHTS % 11) % 11
    digits[:, 16] = np.where(check == 10, _USCC_ALPHABET.index("X"), check)
    digits[:, 17] = (31 - digits[:, :17] @ _USCC_WEIGHTS % 31) % 31
    return _text(np.frombuffer(_USCC_ALPHABET.encode(), np.uint8)[digits])


def _scattered(seed: int, start: int, n: int, places: int) -> Ints:
    """Distinct decimal numbers for start … start + n - 1, as digits: multiplying by a unit modulo 10^places
    is one to one."""
    modulus = 10**places
    numbers = (np.arange(start, start + n, dtype=np.int64) * 61_803_399 + seed * 7_919) % modulus
    digits: Ints = numbers[:, None] // 10 ** np.arange(places - 1, -1, -1) % 10
    return digits


def _register(rng: np.random.Generator, firms: _Firms) -> Columns:
    capital = np.exp(rng.normal(13.6, 1.3, len(firms.size)) + 0.7 * firms.size).round(-4)
    return {
        "uscc": firms.uscc,
        "reg_district": _named([d[0] for d in DISTRICTS], firms.district),
        "industry": _named([i.code for i in INDUSTRIES], firms.industry),
        "est_date": _dates(firms.founded),
        "reg_capital": pa.array(capital.clip(0, 1e8), mask=rng.random(len(capital)) < 0.01),
        "is_srdi": pa.array(firms.srdi),
    }


def _panel(firms: _Firms, ends: Ints) -> tuple[Ints, Ints]:
    """(firm, period) of all firms that existed when a period ended; `ends` in days since 1970."""
    firm, period = np.nonzero(firms.founded[:, None] <= ends[None, :])
    return firm, period


_QUARTER_ENDS = (
    np.array([f"{y}-{m:02}-01" for y in (2021, 2022) for m in (3, 6, 9, 12)], "M8[D]").astype(int) + 27
)
_MONTH_ENDS = np.array([f"{month}-28" for month in MONTHS], "M8[D]").astype(int)
_YEAR_ENDS = np.array([f"{year}-12-28" for year in YEARS], "M8[D]").astype(int)


def _tax(rng: np.random.Generator, firms: _Firms) -> Columns:
    firm, period = _panel(firms, _QUARTER_ENDS)
    n = len(firm)
    season = np.array([-0.10, 0.0, 0.02, 0.12])[period % 4] + 0.01 * period - 0.12 * (period == 5)
    level = firms.of_industry("scale") + 0.9 * firms.size - 0.1 * firms.risk - 1.0
    revenue = np.exp(level[firm] + season + rng.normal(0, 0.25, n)).clip(0, 5e7)
    burden = (0.035 + 0.004 * rng.normal(0, 1, n)).clip(0.001, None)
    grade = _grades(rng, firms)[firm, period // 4]
    return {
        "uscc": firms.uscc.take(pa.array(firm)),
        "period": _named(QUARTERS, period),
        "tax_paid": pa.array((revenue * burden).clip(0, 2e6).round(2), mask=rng.random(n) < 0.01),
        "revenue": pa.array(revenue.round(2), mask=rng.random(n) < 0.005),
        "tax_grade": _named(GRADES, grade),
    }


def _grades(rng: np.random.Generator, firms: _Firms) -> Ints:
    """Index in GRADES by firm and year: M for those younger than three years, else by risk."""
    grades = np.empty((len(firms.risk), 2), np.int64)
    for i, year in enumerate((2021, 2022)):
        noisy = firms.risk + rng.normal(0, 0.4, len(firms.risk))
        young = firms.founded > _day(f"{year - 3}-12-31")
        grades[:, i] = np.where(
            young & (noisy < 1.2), 2, np.array([0, 1, 3, 4])[np.digitize(noisy, [-0.7, 0.9, 1.7])]
        )
    return grades


def _social_security(rng: np.random.Generator, firms: _Firms) -> Columns:
    firm, period = _panel(firms, _MONTH_ENDS)
    staff = np.exp(1.7 + 0.9 * firms.size + rng.normal(0, 0.3, len(firms.size)))
    trend = 1 + 0.004 * period * np.tanh(-firms.risk)[firm]
    return {
        "uscc": firms.uscc.take(pa.array(firm)),
        "period": _named(MONTHS, period),
        "insured_n": pa.array(rng.poisson(staff[firm] * trend).clip(0, 500)),
        "arrears_flag": pa.array(rng.random(len(firm)) < _chance(-4 + 0.8 * firms.risk)[firm]),
    }


def _electricity(rng: np.random.Generator, firms: _Firms) -> Columns:
    firm, period = _panel(firms, _MONTH_ENDS)
    n = len(firm)
    month = period % 12
    season = 0.18 * np.cos((month - 6.5) * np.pi / 3) - 0.25 * (month == 1)
    level = firms.of_industry("power") + 0.8 * firms.size + rng.normal(0, 0.4, len(firms.size))
    kwh = np.exp(level[firm] + season + rng.normal(0, 0.12, n)).clip(0, 5e5)
    late = rng.random(n) < _chance(-3.2 + 0.9 * firms.risk)[firm]
    return {
        "uscc": firms.uscc.take(pa.array(firm)),
        "period": _named(MONTHS, period),
        "kwh": pa.array(kwh.round(1), mask=rng.random(n) < 0.003),
        "overdue_days": pa.array(np.where(late, rng.geometric(0.08, n), 0).clip(0, 90)),
    }


def _loans(rng: np.random.Generator, firms: _Firms, already: int) -> Columns:
    """Under half of the firms borrow; most once, a few dozens of times (a power law cut at 50)."""
    borrows = rng.random(len(firms.size)) < _chance(-0.3 + 0.5 * firms.size)
    count = np.where(borrows, ((1 - rng.random(len(firms.size))) ** (-1 / 1.6)).clip(1, 50).astype(int), 0)
    firm = np.repeat(np.arange(len(count)), count)
    n = len(firm)
    house = rng.integers(0, 5, len(count))
    bank = np.where(rng.random(n) < 0.6, house[firm], rng.integers(0, 5, n))
    balance = np.exp(rng.normal(12.3, 1.0, n) + 0.5 * firms.size[firm]).clip(1000, 1e7)
    rate = (0.052 + 0.008 * firms.risk[firm] - 0.003 * firms.size[firm] + rng.normal(0, 0.006, n)).clip(
        0.02, 0.15
    )
    default = _chance(-4.2 + 1.1 * firms.risk[firm] + 8 * (rate - 0.052))
    return {
        "uscc": firms.uscc.take(pa.array(firm)),
        "loan_id": pa.array(100_000_000 + already + rng.permutation(n)),
        "bank_id": _named(BANKS, bank),
        "balance": pa.array(balance.round(2)),
        "rate": pa.array(rate.round(4)),
        "dpd90": pa.array((rng.random(n) < default).astype(np.int64)),
    }


def _environment(rng: np.random.Generator, firms: _Firms) -> Columns:
    """Firms of dirty industries, and large ones, are rated; each once a year."""
    dirt = firms.of_industry("dirt")
    rated = rng.random(len(dirt)) < _chance(-1.6 + 1.5 * dirt + 0.3 * firms.size)
    firm, year = _panel(firms, _YEAR_ENDS)
    firm, year = firm[rated[firm]], year[rated[firm]]
    n = len(firm)
    badness = 0.6 * firms.risk[firm] + 0.5 * dirt[firm] + rng.normal(0, 0.6, n)
    level = np.digitize(badness, [-0.2, 1.0, 1.9])
    penalties = rng.poisson(np.array([0.0, 0.08, 0.7, 2.2])[level]).clip(0, 10)
    fine = penalties * np.exp(rng.normal(10.3, 0.8, n))
    return {
        "uscc": firms.uscc.take(pa.array(firm)),
        "eval_year": pa.array(np.array(YEARS)[year]),
        "env_level": _named(LEVELS, level),
        "env_penalty_n": pa.array(penalties),
        "env_penalty_amt": pa.array(fine.clip(0, 1e6).round(2)),
    }


# ----------------------------------------------------------------------------------------- persons


def _health(rng: np.random.Generator, seed: int, start: int, n: int) -> Iterator[tuple[str, Columns]]:
    """Visits and claims of one chunk of persons; who claims has mostly been to hospital."""
    pid = _text(
        np.hstack([np.full((n, 1), ord("P")), ord("0") + _scattered(seed, start, n, 11)]).astype(np.uint8)
    )
    age = rng.choice(len(AGES), n, p=[0.12, 0.10, 0.16, 0.16, 0.15, 0.15, 0.10, 0.06])
    frailty = rng.gamma(0.9, 1.1, n) * np.array([0.9, 0.5, 0.6, 0.8, 1.0, 1.5, 2.2, 2.8])[age]
    visits = rng.poisson(2.2 * frailty).clip(0, 30)
    who = np.repeat(np.arange(n), visits)
    fee = np.exp(rng.normal(5.8, 1.1, len(who)) + 0.12 * age[who] + 1.8 * (rng.random(len(who)) < 0.06)).clip(
        8, 1e5
    )
    own = (fee * rng.beta(2.2, 4.0, len(who))).clip(0, 2e4)
    chapters = 1 / np.arange(1, len(CHAPTERS) + 1) ** 0.7
    yield (
        "visit",
        {
            "pid": pid.take(pa.array(who)),
            "visit_date": _dates(_day("2022-01-01") + rng.integers(0, 365, len(who))),
            "age_band": _named(AGES, age[who]),
            "icd_chapter": _named(
                CHAPTERS, (rng.choice(len(CHAPTERS), len(who), p=chapters / chapters.sum()) + 9) % 22
            ),
            "total_fee": pa.array(fee.round(2)),
            "self_pay": pa.array(own.round(2)),
        },
    )
    claims = rng.poisson(np.where(visits > 0, 0.08 + 0.02 * visits, 0.01)).clip(0, 5)
    who = np.repeat(np.arange(n), claims)
    product = rng.choice(len(PRODUCTS), len(who), p=[0.55, 0.28, 0.07, 0.10])
    amount = np.exp(rng.normal(np.array([8.3, 8.9, 11.2, 7.6])[product], 0.7)).clip(50, 2e5)
    yield (
        "claim",
        {
            "pid": pid.take(pa.array(who)),
            "product": _named(PRODUCTS, product),
            "claim_amt": pa.array(amount.round(2)),
            "claim_date": _dates(_day("2022-01-01") + rng.integers(0, 365, len(who))),
        },
    )


# ------------------------------------------------------------------------------- public, and arrays


def _reference() -> Iterator[tuple[str, Columns]]:
    codes, names, regions = zip(*DISTRICTS, strict=True)
    yield "district", {"district": pa.array(codes), "name_zh": pa.array(names), "region": pa.array(regions)}
    yield (
        "industry",
        {
            "industry": pa.array([i.code for i in INDUSTRIES]),
            "name_zh": pa.array([i.name_zh for i in INDUSTRIES]),
            "name_en": pa.array([i.name_en for i in INDUSTRIES]),
        },
    )


def _named(names: Any, index: Ints) -> Any:
    return pa.array(names).take(pa.array(index))


def _text(characters: npt.NDArray[np.uint8]) -> Any:
    """Rows of ASCII codes → strings."""
    width = characters.shape[1]
    return pa.array(np.ascontiguousarray(characters).view(f"S{width}").ravel()).cast(pa.string())


def _dates(days: Ints) -> Any:
    return pa.array(days.astype(np.int32)).cast(pa.date32())


def _day(date: str) -> int:
    return int(np.datetime64(date, "D").astype(int))


def _chance(log_odds: Floats) -> Floats:
    chance: Floats = 1 / (1 + np.exp(-log_odds))
    return chance
