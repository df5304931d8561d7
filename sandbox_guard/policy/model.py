"""The typed form of `policies/`: what people decide, as reviewed text.

Every model is frozen and refuses unknown keys. Amounts of privacy are exact integers in the units of
account of DESIGN section 9: rho in 1e-9, delta in 1e-15. Files are read by `sandbox_guard.policy.files`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sandbox_guard.errors import Text

RHO_UNITS = 10**9
DELTA_UNITS = 10**15


class Inconsistent(ValueError):
    """Keys that contradict each other. `at` leads from the model to the key at fault."""

    def __init__(self, what: Text, fix: Text, at: tuple[str | int, ...] = ()) -> None:
        super().__init__(f"{what.en}; {fix.en}")
        self.what = what
        self.fix = fix
        self.at = at


def _as_decimal(value: object) -> object:
    # YAML gives floats; their shortest decimal form is what the steward typed.
    return Decimal(repr(value)) if isinstance(value, float) else value


Number = Annotated[Decimal, BeforeValidator(_as_decimal)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
"""Names of populations, datasets, projects, analyses and accounts."""

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
"""Names of tables and columns, matched without regard to case. Never start with an underscore:
those names are the loader's own."""

Lower = Annotated[str, AfterValidator(str.lower)]

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

    @model_validator(mode="after")
    def _countable(self) -> Budget:
        for key, amount, units in (("rho", self.rho, RHO_UNITS), ("delta", self.delta, DELTA_UNITS)):
            if amount * units % 1:
                raise Inconsistent(
                    Text(f"{key} 的计量单位是 1/{units}", f"{key} is counted in units of 1/{units}"),
                    Text("减少小数位数", "use fewer decimal places"),
                    (key,),
                )
        return self

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
    """A regular expression that a string id matches from its first character to its last."""

    @model_validator(mode="after")
    def _consistent(self) -> UnitId:
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise Inconsistent(
                Text("pattern 不是合法的正则表达式", f"pattern is no regular expression: {error}"),
                Text("改正 pattern", "correct pattern"),
                ("pattern",),
            ) from None
        if self.pattern is not None and self.type == "integer":
            raise Inconsistent(
                Text("整数编号没有 pattern", "integer ids have no pattern"),
                Text("删去 pattern", "remove pattern"),
                ("pattern",),
            )
        return self


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


def _check_bounds(type_: ColumnType, bounds: tuple[Number | dt.date, Number | dt.date]) -> None:
    """Bounds fit the type and stand in order."""
    lo, hi = bounds
    if type_ not in (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.DATE):
        raise Inconsistent(
            Text(f"{type_} 类型没有上下界", f"bounds make no sense for a {type_}"),
            Text("删去 bounds，改用 values 或 max_length", "remove bounds; use values or max_length"),
            ("bounds",),
        )
    for i, bound in enumerate(bounds):
        if isinstance(bound, dt.date) is not (type_ is ColumnType.DATE):
            raise Inconsistent(
                Text("bounds 与类型不符", "bounds do not fit the type"),
                Text(
                    "date 用日期（2022-01-31），其余用数", "dates (2022-01-31) for a date, numbers otherwise"
                ),
                ("bounds", i),
            )
    if lo > hi:  # type: ignore[operator]
        raise Inconsistent(
            Text("下界大于上界", "the lower bound is above the upper bound"),
            Text("写成 [下界, 上界]", "write [lower, upper]"),
            ("bounds",),
        )


def _check_values(type_: ColumnType, values: tuple[Value, ...]) -> None:
    """Declared values have the declared type, and each stands once."""
    for i, value in enumerate(values):
        if not _is_value_of(type_, value):
            raise Inconsistent(
                Text(f"取值 {value!r} 不属于 {type_} 类型", f"the value {value!r} is no {type_}"),
                Text("字符串与日期请加引号", "put strings and dates in quotes"),
                ("values", i),
            )
        if value in values[:i]:
            raise Inconsistent(
                Text(f"取值 {value!r} 重复", f"the value {value!r} stands twice"),
                Text("删去其一", "remove one"),
                ("values", i),
            )


def _is_value_of(type_: ColumnType, value: Value) -> bool:
    match type_:
        case ColumnType.BOOLEAN:
            return isinstance(value, bool)
        case ColumnType.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case ColumnType.NUMBER:
            return isinstance(value, int | Decimal) and not isinstance(value, bool)
        case ColumnType.STRING:
            return isinstance(value, str)
        case ColumnType.DATE:
            try:
                return isinstance(value, str) and bool(dt.date.fromisoformat(value))
            except ValueError:
                return False


class Column(Model):
    """One column: the data dictionary's entry and the facts that plans rely on.

    Facts are declared here and enforced by the loader, never read off the data (SOUNDNESS 21, 34).
    """

    title: Bilingual
    description: Bilingual | None = None
    classification: Classification | None = None
    """Where it differs from the dataset's."""
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
    null_values: tuple[str, ...] = ("", "\\N")
    true_values: tuple[Lower, ...] = ("true", "1", "t", "yes", "y")
    false_values: tuple[Lower, ...] = ("false", "0", "f", "no", "n")
    """Both are matched without regard to case."""

    @model_validator(mode="after")
    def _consistent(self) -> Column:
        if self.type is ColumnType.NUMBER and self.step is None:
            raise Inconsistent(
                Text("number 类型的列没有 step", "a number has no step: sums run in integers of that step"),
                Text("加上例如 step: 0.01", "add for instance step: 0.01"),
            )
        if self.step is not None and (self.type is not ColumnType.NUMBER or self.step <= 0):
            raise Inconsistent(
                Text("step 必须大于 0，且只用于 number", "step must be above 0, and is for numbers only"),
                Text("改正或删去 step", "correct or remove step"),
                ("step",),
            )
        if self.bounds is not None:
            _check_bounds(self.type, self.bounds)
        if self.values is not None:
            _check_values(self.type, self.values)
        self._countable()
        if self.key and not self.usable:
            raise Inconsistent(
                Text(
                    "标识列或指向其他主体的列不能作分组键",
                    "an identifier, or a name of another member, is no key",
                ),
                Text("删去 key", "remove key"),
                ("key",),
            )
        return self

    def _countable(self) -> None:
        """Numbers are stored as 64-bit counts of the step: bounds and values are among them."""
        if self.type not in (ColumnType.INTEGER, ColumnType.NUMBER):
            return
        for key, numbers in (("bounds", self.bounds or ()), ("values", self.values or ())):
            for i, number in enumerate(numbers):
                count = Fraction(str(number)) / self.fixed_step
                if count.denominator != 1 or abs(count) >= 2**62:
                    raise Inconsistent(
                        Text(
                            f"{number} 不是 {self.fixed_step} 的整数倍，或过大",
                            f"{number} is no multiple of {self.fixed_step}, or too large",
                        ),
                        Text(
                            "改为 step 的整数倍，绝对值小于 step × 2^62",
                            "write a multiple of step, below step × 2^62",
                        ),
                        (key, i),
                    )

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
    foreign_keys: tuple[ForeignKey, ...] = ()
    """For readers and for the sample: where else a column's values are explained. Nothing relies on it."""
    columns: dict[Identifier, Column] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Table:
        for at, name in self._named_columns():
            if name not in self.columns:
                raise Inconsistent(
                    Text(f"'{name}' 不是本表的列", f"'{name}' is not a column of this table"),
                    Text(f"列有：{', '.join(self.columns)}", f"the columns are {', '.join(self.columns)}"),
                    at,
                )
        if len({c.lower() for c in self.columns}) != len(self.columns):
            raise Inconsistent(
                Text("有两列仅大小写不同", "two columns have the same name but for case"),
                Text(
                    "改名，用 source 指明文件中的列名", "rename one, and give its name in the file as source"
                ),
                ("columns",),
            )
        if self.unit is not None and self.unit_through is not None:
            raise Inconsistent(
                Text("unit 与 unit_through 只能给一个", "unit and unit_through stand together"),
                Text("删去其一", "remove one"),
                ("unit_through",),
            )
        if self.private and self.max_rows_per_unit is None:
            raise Inconsistent(
                Text("受保护的表没有 max_rows_per_unit", "a private table has no max_rows_per_unit"),
                Text("加上每个隐私单元最多保留的行数", "add the most rows that one unit may have"),
            )
        for name in self.unit or ():
            if self.columns[name].nullable:
                raise Inconsistent(
                    Text(f"隐私单元列 '{name}' 不可为空", f"the unit column '{name}' is nullable"),
                    Text("删去 nullable", "remove nullable"),
                    ("columns", name, "nullable"),
                )
            if not self.columns[name].usable:
                raise Inconsistent(
                    Text(
                        f"隐私单元列 '{name}' 标成了 identifier 或 names",
                        f"the unit column '{name}' is marked identifier or names",
                    ),
                    Text(
                        "删去该标记：隐私单元编号从不输出",
                        "remove the mark: the unit's id is never released anyway",
                    ),
                    ("columns", name),
                )
        return self

    def _named_columns(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for i, name in enumerate(self.unit or ()):
            yield ("unit", i), name
        if self.unit_through:
            yield ("unit_through", "column"), self.unit_through.column
        for key, sets in (("unique", self.unique), ("unique_in_unit", self.unique_in_unit)):
            for i, names in enumerate(sets):
                for j, name in enumerate(names):
                    yield (key, i, j), name
        for i, foreign in enumerate(self.foreign_keys):
            yield ("foreign_keys", i, "column"), foreign.column

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
    tables: dict[Identifier, Table] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        for name, table in self.tables.items():
            if table.private and self.population is None:
                raise Inconsistent(
                    Text(
                        f"表 '{name}' 有隐私单元，数据集却没有 population",
                        f"table '{name}' has a unit but the dataset has no population",
                    ),
                    Text("加上 population", "add population"),
                    ("tables", name),
                )
        if self.population is not None and self.budget is None:
            raise Inconsistent(
                Text("有 population 的数据集没有 budget", "a dataset with a population has no budget"),
                Text(
                    "加上例如 budget: {rho: 2, delta: 1e-6}", "add for instance budget: {rho: 2, delta: 1e-6}"
                ),
            )
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


class QueryLimits(Model):
    """What one query of the project may be at most. Lower than what the product can bear, never higher."""

    text: int = Field(65_536, gt=0, le=65_536)
    """Bytes of SQL."""
    nesting: int = Field(100, gt=0, le=100)
    """Levels of brackets, CASE and subqueries."""
    cells: int = Field(1_000_000, gt=0, le=1_000_000)
    """Groups of one result, counted or not."""
    seconds: float = Field(30, gt=0, le=60)
    """Of a query's time at worst, which follows from caps and SQL. A member has one query at a time."""


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
    limits: QueryLimits = QueryLimits()
    freeze: bool = False
    """Do the project's notebooks stand still while one of its vaults works?"""
    downloads: bool = True
    """May members take files out of their notebooks? What is released they get from the portal anyway."""


# ------------------------------------------------------------- policies/analyses/<name>.sql


class Parameter(Model):
    title: Bilingual
    type: ColumnType
    bounds: tuple[Number | dt.date, Number | dt.date] | None = None
    values: tuple[Value, ...] | None = None
    labels: dict[str, Bilingual] = {}
    """How a value of `values` is shown."""
    default: Value | dt.date | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Parameter:
        if self.values is not None:
            _check_values(self.type, self.values)
            strangers = set(self.labels) - {str(v) for v in self.values}
            if strangers:
                name = min(strangers)
                raise Inconsistent(
                    Text(f"labels 中的 '{name}' 不在 values 中", f"the label '{name}' is none of the values"),
                    Text("改正或删去", "correct or remove it"),
                    ("labels", name),
                )
        elif self.bounds is not None:
            _check_bounds(self.type, self.bounds)
        elif self.type is not ColumnType.BOOLEAN:
            raise Inconsistent(
                Text("参数既没有 values 也没有 bounds", "the parameter has neither values nor bounds"),
                Text("加上其一：表单据此检查输入", "add one: forms check what is typed against it"),
            )
        if self.default is not None and not self.accepts(self.default):
            raise Inconsistent(
                Text(
                    f"默认值 {self.default} 不在允许范围内",
                    f"the default {self.default} is not among what is allowed",
                ),
                Text("改正 default", "correct default"),
                ("default",),
            )
        return self

    def accepts(self, value: Value | dt.date) -> bool:
        """Is `value`, typed already, among what the reviewers allowed?"""
        if self.values is not None:
            return any(value == v and isinstance(value, bool) is isinstance(v, bool) for v in self.values)
        if self.bounds is None:
            return isinstance(value, bool)
        if self.type is ColumnType.DATE:
            return isinstance(value, dt.date) and self.bounds[0] <= value <= self.bounds[1]  # type: ignore[operator]
        if not isinstance(value, int | Decimal) or isinstance(value, bool):
            return False
        whole = self.type is not ColumnType.INTEGER or value % 1 == 0
        return whole and self.bounds[0] <= value <= self.bounds[1]  # type: ignore[operator]


class Chart(Model):
    x: str
    y: str
    colour: str | None = None


class AnalysisHeader(Model):
    """The YAML between `/*---` and `---*/` that opens the file."""

    title: Bilingual
    description: Bilingual
    parameters: dict[Identifier, Parameter] = {}
    reviewers: tuple[Name, ...] = Field(min_length=1)
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
