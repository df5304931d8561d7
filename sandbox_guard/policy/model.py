"""The typed form of `policies/`: what people decide, as reviewed text.

Every model is frozen and refuses unknown keys. Amounts of privacy are exact integers in the units of
account of DESIGN section 9: rho in 1e-9, delta in 1e-15. Files are read by `sandbox_guard.policy.files`.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

RHO_UNITS = 10**9
DELTA_UNITS = 10**15


def _as_decimal(value: object) -> object:
    # YAML gives floats; their shortest decimal form is what the steward typed.
    return Decimal(repr(value)) if isinstance(value, float) else value


Number = Annotated[Decimal, BeforeValidator(_as_decimal)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
"""Names of populations, datasets, projects, analyses and accounts."""

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
"""Names of tables and columns, matched without regard to case. Never start with an underscore:
those names are the loader's own."""

Value = bool | int | Number | str
"""An allowed value as it stands in the policy. Dates are written as text."""


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bilingual(Model):
    zh: str
    en: str


class Budget(Model):
    """An amount of zero-concentrated differential privacy (rho) and of delta."""

    rho: Number = Field(gt=0)
    delta: Number = Field(ge=0, lt=1)

    @property
    def rho_units(self) -> int:
        return int(self.rho * RHO_UNITS)

    @property
    def delta_units(self) -> int:
        return int(self.delta * DELTA_UNITS)


# ---------------------------------------------------------------- policies/units/<name>.yaml


class UnitId(Model):
    """The one declared type to which ids are normalised at load (SOUNDNESS 7)."""

    type: Literal["string", "integer"]
    pattern: str | None = None


class Population(Model):
    """A population of privacy units: firms by uscc, persons by pid."""

    name: Name
    title: Bilingual
    protects: Bilingual
    """In words, what one unit is: 'all records of one firm, in every dataset'."""
    id: UnitId
    budget: Budget
    query_delta: Number = Field(gt=0, lt=1)
    """Delta a single query may spend on discovering group keys, and its delta for `epsilon=`."""


# ------------------------------------------------------------- policies/datasets/<name>.yaml


class Classification(StrEnum):
    OPEN = "open"
    CONDITIONAL = "conditional"
    CLOSED = "closed"


class ColumnType(StrEnum):
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    DATE = "date"
    STRING = "string"


class Column(Model):
    """One column: the data dictionary's entry and the facts that plans rely on.

    Facts are declared here and enforced by the loader, never read off the data (SOUNDNESS 21, 34).
    """

    title: Bilingual
    description: Bilingual | None = None
    type: ColumnType
    measure: str | None = None
    """Unit of measure, such as CNY or kWh."""
    nullable: bool = False
    bounds: tuple[Number | dt.date, Number | dt.date] | None = None
    """Inclusive. Numbers outside are clamped at load, dates outside become NULL (or drop the row)."""
    step: Number | None = None
    """A `number` is stored as an integer count of this step. Integers have step 1."""
    values: tuple[Value, ...] | None = None
    """The declared domain. Others become NULL, or the row drops where not nullable."""
    max_length: int | None = Field(None, gt=0, le=4096)
    max_distinct: int | None = Field(None, gt=0)
    """Most distinct values in the whole column; the load is refused above it."""
    unit_constant: bool = False
    """Same value in all rows of one unit; else the load is refused."""
    key: bool = False
    """A frequent discovered group key: the loader stores 'first row of this unit with this key'."""
    identifier: bool = False
    """A direct identifier (a name, a phone number): never a key, filter, join or argument."""
    names: Name | None = None
    """Names a member of *another* population: never a key, filter, join or argument."""
    # how the file writes it
    source: str | None = None
    """The column's name in the file, where it differs."""
    format: str | None = None
    """strptime format of dates."""
    pivot_year: int | None = None
    """Two-digit years above it mean 19xx."""
    decimal: Literal[".", ","] = "."
    null_values: tuple[str, ...] = ("",)
    true_values: tuple[str, ...] = ("true", "1", "t", "yes", "y")
    false_values: tuple[str, ...] = ("false", "0", "f", "no", "n")

    @model_validator(mode="after")
    def _consistent(self) -> Column:
        if self.type is ColumnType.NUMBER and self.step is None:
            raise ValueError("a number needs a step, such as 0.01: sums run in integers of that step")
        if self.step is not None and self.step <= 0:
            raise ValueError("step must be above 0")
        if self.bounds is not None:
            lo, hi = self.bounds
            if self.type not in (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.DATE):
                raise ValueError(f"bounds make no sense for a {self.type}")
            is_date = self.type is ColumnType.DATE
            if isinstance(lo, dt.date) is not is_date or isinstance(hi, dt.date) is not is_date:
                raise ValueError("bounds must be dates for a date and numbers otherwise")
            if lo > hi:  # type: ignore[operator]
                raise ValueError("the lower bound is above the upper bound")
        return self

    @property
    def usable(self) -> bool:
        """May an analyst's query touch it at all?"""
        return not self.identifier and self.names is None

    @property
    def fixed_step(self) -> Fraction:
        """What one stored integer is worth. Only for integers and numbers."""
        return Fraction(self.step) if self.step is not None else Fraction(1)


class ForeignKey(Model):
    """`column` holds a value of `references` = 'table.column', which that table declares unique."""

    column: Identifier
    references: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*$")


class Table(Model):
    title: Bilingual
    description: Bilingual | None = None
    unit: tuple[Identifier, ...] | None = None
    """Columns that hold the unit's published id: one, or several for a composite unit (SOUNDNESS 9).
    None for a public table, or one that reaches its unit by `unit_through`."""
    unit_through: ForeignKey | None = None
    max_rows: int = Field(gt=0)
    """The load is refused above it."""
    max_rows_per_unit: int | None = Field(None, gt=0)
    """Rows beyond it, by rank, are dropped at load. 1 means one row a unit."""
    unique: tuple[tuple[Identifier, ...], ...] = ()
    """Column sets that identify a row in the whole table; the load is refused where they do not."""
    unique_in_unit: tuple[tuple[Identifier, ...], ...] = ()
    """Column sets that, with the unit, identify a row; later duplicates by rank are dropped at load."""
    columns: dict[Identifier, Column]

    @model_validator(mode="after")
    def _consistent(self) -> Table:
        named = [*(self.unit or ()), *(c for s in (*self.unique, *self.unique_in_unit) for c in s)]
        if self.unit_through:
            named.append(self.unit_through.column)
        for name in named:
            if name not in self.columns:
                raise ValueError(f"'{name}' is not a column of this table")
        if len({c.lower() for c in self.columns}) != len(self.columns):
            raise ValueError("two columns have the same name but for case")
        private = self.unit is not None or self.unit_through is not None
        if self.unit is not None and self.unit_through is not None:
            raise ValueError("give either unit or unit_through")
        if private and self.max_rows_per_unit is None:
            raise ValueError("a private table needs max_rows_per_unit")
        for name in self.unit or ():
            if self.columns[name].nullable:
                raise ValueError(f"the unit column '{name}' cannot be nullable")
        return self

    @property
    def private(self) -> bool:
        return self.unit is not None or self.unit_through is not None


class Dataset(Model):
    name: Name
    title: Bilingual
    description: Bilingual | None = None
    classification: Classification
    department: Bilingual
    update_frequency: Bilingual
    population: Name | None = None
    """None: a dataset of public tables."""
    budget: Budget | None = None
    """Cap over all projects together."""
    invented: bool = False
    """Generated for demonstration; every page says so."""
    tables: dict[Identifier, Table]

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        for name, table in self.tables.items():
            if table.private and self.population is None:
                raise ValueError(f"table '{name}' has a unit but the dataset names no population")
        if self.population is not None and self.budget is None:
            raise ValueError("a dataset with a population needs a budget")
        return self


# ------------------------------------------------------------------- policies/people.yaml


class Office(StrEnum):
    AUDITOR = "auditor"
    STEWARD = "steward"


class Person(Model):
    title: str
    organisation: str
    offices: tuple[Office, ...] = ()
    language: Literal["zh", "en"] = "zh"


# ------------------------------------------------------------- policies/projects/<name>.yaml


class Role(StrEnum):
    RESEARCHER = "researcher"
    """Notebook and free queries, where the project allows them."""
    ENTERPRISE = "enterprise"
    """Approved analyses only."""


class Agreement(Model):
    hash: str
    expires: dt.date


class Project(Model):
    name: Name
    title: Bilingual
    purpose: Bilingual
    organisation: str
    members: dict[Name, Role]
    datasets: tuple[Name, ...]
    joins: tuple[tuple[Name, Name], ...] | Literal["all"] = "all"
    """Pairs of private datasets that may meet in one query."""
    agreement: Agreement
    budgets: dict[Name, Budget]
    """By population: what all members together may spend."""
    member_budgets: dict[Name, Budget]
    """By population: what each member may spend."""
    free_queries: bool = True
    analyses: tuple[Name, ...] = ()
    default_rho: Number = Decimal("0.005")
    """What a query costs where the asker names neither margin, share nor epsilon."""


# ------------------------------------------------------------- policies/analyses/<name>.sql


class Parameter(Model):
    title: Bilingual
    type: ColumnType
    bounds: tuple[Number | dt.date, Number | dt.date] | None = None
    values: tuple[Value, ...] | None = None
    labels: dict[str, Bilingual] = {}
    """How a value of `values` is shown."""
    default: Value | dt.date | None = None


class Chart(Model):
    x: str
    y: str
    colour: str | None = None


class AnalysisHeader(Model):
    """The YAML between `/*---` and `---*/` that opens the file."""

    title: Bilingual
    description: Bilingual
    parameters: dict[Identifier, Parameter] = {}
    reviewers: tuple[Name, ...]
    chart: Chart | None = None
    columns: dict[str, Bilingual] = {}
    """Headings of the result's columns."""
    rho: Number | None = None


class Analysis(Model):
    name: Name
    header: AnalysisHeader
    sql: str
    digest: str
    """SHA-256 of the whole file: approval is pinned to it."""


class Policies(Model):
    """Everything under `policies/`, checked against each other."""

    populations: dict[str, Population]
    datasets: dict[str, Dataset]
    people: dict[str, Person]
    projects: dict[str, Project]
    analyses: dict[str, Analysis]
    digest: str
    """SHA-256 over the canonical form of all files."""
