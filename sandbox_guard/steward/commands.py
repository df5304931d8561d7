"""`sandbox-guard load | draft | demo`: what a steward types to bring data in."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table as Grid

from sandbox_guard.engines.versions import current
from sandbox_guard.errors import Text
from sandbox_guard.policy.document import PolicyError
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies
from sandbox_guard.steward import demo as city
from sandbox_guard.steward.advice import advise
from sandbox_guard.steward.draft import draft as drafted
from sandbox_guard.steward.layout import Home
from sandbox_guard.steward.load import load as load_files
from sandbox_guard.steward.quality import (
    Effect,
    Finding,
    LoadRefused,
    LoadReport,
    OnProgress,
    Problem,
    Progress,
    Rule,
    Step,
)
from sandbox_guard.steward.sample import make_sample
from sandbox_guard.steward.source import Unreadable

Record = Callable[[Mapping[str, str]], bool]
"""Tell the ledger which version of each dataset there is; False where it did not answer. Telling it again
changes nothing, so what one load could not tell, the next one does."""

console = Console(highlight=False, markup=False, soft_wrap=True)
aside = Console(highlight=False, markup=False, soft_wrap=True, stderr=True)
"""For what only the steward may see: never standard output, which `> policy.yaml` would keep."""

PolicyFolder = Annotated[
    Path, typer.Option("--policies", envvar="SANDBOX_GUARD_POLICIES", help="策略目录 · The policy folder.")
]
StateFolder = Annotated[
    Path, typer.Option("--home", envvar="SANDBOX_GUARD_HOME", help="状态目录 · The state directory.")
]

STEPS = {
    Step.READ: Text("读取", "reading"),
    Step.ORDER: Text("按单元归拢", "ordering by unit"),
    Step.RANK: Text("排序", "ranking"),
    Step.CHECK: Text("核对", "checking"),
    Step.WRITE: Text("写入", "writing"),
}
RULES = {
    Rule.NOT_FINITE: Text("NaN 或无穷", "NaN or infinite"),
    Rule.CLAMPED: Text("超出范围", "out of bounds"),
    Rule.OUTSIDE: Text("超出范围", "out of bounds"),
    Rule.DOMAIN: Text("不在取值列表中", "not a declared value"),
    Rule.LENGTH: Text("超过最大长度", "longer than max_length"),
    Rule.MISSING: Text("空值", "empty"),
    Rule.UNIT: Text("没有有效的单元标识", "no valid id of a unit"),
    Rule.DANGLING: Text("找不到所属的上级记录", "leads to no parent row"),
    Rule.UNIT_CONSTANT: Text("单元内取值不一", "varies within the unit"),
    Rule.DUPLICATE: Text("单元内重复", "repeated within the unit"),
    Rule.CAP: Text("超过每单元行数上限", "beyond max_rows_per_unit"),
}
EFFECTS = {
    Effect.CLAMPED: Text("截到边界", "clamped"),
    Effect.EMPTIED: Text("置空", "emptied"),
    Effect.REPLACED: Text("取首行的值", "took the first row's value"),
    Effect.DROPPED: Text("整行舍去", "row dropped"),
}


def add_commands(app: typer.Typer) -> None:
    """Mount the steward's commands."""
    app.command("load")(load)
    app.command("draft")(draft)
    app.command("demo")(demo)


def load(
    dataset: Annotated[str, typer.Argument(help="数据集 · The dataset, as its policy file is named.")],
    files: Annotated[
        list[str],
        typer.Argument(help="文件，与表同名，或 表=路径 · Files named like their table, or table=path."),
    ],
    policies: PolicyFolder = Path("policies"),
    home: StateFolder = Path("var"),
) -> None:
    """载入 CSV 或 Parquet 为数据集的新版本 · Load CSV or Parquet files as a dataset's new version."""
    read = _read(policies)
    _load(read, dataset, _by_table(read, dataset, files), home, ledger_at(home))


def draft(
    file: Annotated[Path, typer.Argument(help="CSV 或 Parquet 文件 · A CSV or Parquet file.")],
    table: Annotated[str | None, typer.Option(help="表名 · The table's name.")] = None,
) -> None:
    """依据文件起草策略；观察到的内容只显示，不写入 · Draft a policy for a file; what is observed is only shown."""
    try:
        made = drafted(file, table or file.stem)
    except Unreadable as unreadable:
        console.print(f"读不了 {file} / Cannot read {file}: {unreadable}")
        raise typer.Exit(1) from None
    # People send standard output to a file: only the policy goes there, nothing that was read off the data.
    for line in (*made.shown("zh"), "", *made.shown("en")):
        aside.print(line, style="dim")
    typer.echo(made.policy)


def demo(
    policies: PolicyFolder = Path("policies"),
    home: StateFolder = Path("var"),
    firms: Annotated[int, typer.Option(min=100, help="企业数 · How many firms.")] = city.FIRMS,
    seed: Annotated[int, typer.Option(help="随机种子 · Seed.")] = city.SEED,
    scale: Annotated[
        Path | None,
        typer.Option(
            help="只写策略：按企业数放宽行数上限 · Only write policies to this folder, with row caps for so many firms."
        ),
    ] = None,
) -> None:
    """生成并载入虚构的城市 · Make the invented city and load what is not loaded yet."""
    if scale is not None:
        city.scale_policies(policies, scale, firms)
        console.print(_how_to_run(firms, scale))
        return
    read = _read(policies)
    invented = [n for n, dataset in read.datasets.items() if dataset.invented]
    for name in invented:
        if current(Home(home).dataset(name)) and not _sample_file(name, home).exists():
            _sample(read, name, home)  # the last run was interrupted in between
    missing = [n for n in invented if current(Home(home).dataset(n)) is None]
    if not missing:
        console.print("演示数据都已载入 / All demo data is loaded already.")
        return
    if firms > (most := _most_firms(read)):
        console.print(
            f"策略的行数上限最多容纳 {most:,} 家企业。先写一份放宽上限的策略： / "
            f"The policies' row caps hold {most:,} firms at most. First write policies with wider ones:\n"
            f"  sandbox-guard demo --firms {firms} --scale policies-{firms}\n{_how_to_run(firms, Path(f'policies-{firms}'))}"
        )
        raise typer.Exit(1)
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home, prefix=".demo-") as temporary:
        with _bars() as bars:
            making = bars.add_task("生成虚构的城市 / inventing a city", total=firms)
            made = city.generate(
                Path(temporary),
                firms,
                seed,
                lambda done, total: bars.update(making, completed=done, total=total),
            )
        for name in missing:
            files = {table: made[table.lower()] for table in read.datasets[name].tables}
            _load(read, name, files, home, ledger_at(home))


# ------------------------------------------------------------------------------------- its parts


def _most_firms(policies: Policies) -> int:
    """As many as the tightest table with one row a firm may hold; the other caps leave as much room."""
    caps = (
        table.max_rows
        for dataset in policies.datasets.values()
        if dataset.invented
        for table in dataset.tables.values()
        if table.max_rows_per_unit == 1
    )
    return min(caps, default=sys.maxsize)


def _how_to_run(firms: int, policies: Path) -> str:
    return f"然后运行 / Then run:\n  make run FIRMS={firms} SANDBOX_GUARD_POLICIES={policies}"


def _load(policies: Policies, dataset: str, files: Mapping[str, Path], home: Path, record: Record) -> None:
    try:
        with _watching() as progress:
            report = load_files(policies, dataset, files, home, progress)
    except LoadRefused as refused:
        _explain(refused)
        raise typer.Exit(1) from None
    _show(report)
    _advise(policies, dataset, home)
    _sample(policies, dataset, home)
    if not record(_versions(policies, home)):
        console.print(
            "台账没有应答：下一次载入时补记日志。 / The ledger does not answer: the next load will tell it.",
        )


def _advise(policies: Policies, dataset: str, home: Path) -> None:
    version = current(Home(home).dataset(dataset))
    described = policies.datasets[dataset]
    if version is None or described.invented:
        return
    for number, could in enumerate(advise(described, version.data)):
        if number == 0:
            console.print(
                "这批数据中成立、策略可以声明的事实（是否恒成立请自行判断）："
                " / What holds in this data and could be declared (decide whether it always will):"
            )
        console.print(f"  {could.zh}\n  {could.en}")


def _sample(policies: Policies, dataset: str, home: Path) -> None:
    version = current(Home(home).dataset(dataset))
    make_sample(policies, dataset, _sample_file(dataset, home), loaded=version.data if version else None)


def _sample_file(dataset: str, home: Path) -> Path:
    return home / "samples" / f"{dataset}.duckdb"


def _versions(policies: Policies, home: Path) -> dict[str, str]:
    found = {dataset: current(Home(home).dataset(dataset)) for dataset in policies.datasets}
    return {dataset: version.id for dataset, version in found.items() if version}


def ledger_at(home: Path) -> Record:
    """Record loads at the ledger's service, with the stewards' token."""

    def record(versions: Mapping[str, str]) -> bool:
        port = os.environ.get("SANDBOX_GUARD_LEDGER_PORT") or "8201"
        url = os.environ.get("SANDBOX_GUARD_LEDGER_URL", f"http://127.0.0.1:{port}")
        act = {"actor": getpass.getuser(), "reason": "sandbox-guard load"}
        try:
            token = (home / "keys" / "admin.token").read_text("ascii").strip()
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, headers=headers, timeout=30.0, trust_env=False) as ledger:
                for dataset, version in versions.items():
                    body = {"dataset": dataset, "version": version, "act": act}
                    ledger.post("/v1/loads", json=body).raise_for_status()
        except (httpx.HTTPError, FileNotFoundError):
            return False
        return True

    return record


def _by_table(policies: Policies, dataset: str, files: list[str]) -> dict[str, Path]:
    if dataset not in policies.datasets:
        known = ", ".join(policies.datasets)
        _explain(LoadRefused((Problem("load.unknown_dataset", dataset, facts={"known": known}),)))
        raise typer.Exit(1)
    tables = list(policies.datasets[dataset].tables)
    if len(tables) == len(files) == 1 and "=" not in files[0]:
        return {tables[0]: Path(files[0])}
    named = (file.partition("=") for file in files)
    return {
        (before if sign else Path(before).stem).lower(): Path(after if sign else before)
        for before, sign, after in named
    }


def _read(policies: Path) -> Policies:
    try:
        return read_policies(policies)
    except PolicyError as error:
        console.print(error.text("zh"))
        console.print(error.text("en"))
        raise typer.Exit(1) from None


def _bars() -> Bars:
    return Bars(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


@contextmanager
def _watching() -> Iterator[OnProgress]:
    """A bar for the step under way."""
    with _bars() as bars:
        bar = bars.add_task("", total=None)

        def show(progress: Progress) -> None:
            step = STEPS[progress.step]
            words = f"{progress.table}: {step.zh} / {step.en}"
            bars.update(bar, description=words, completed=progress.done, total=progress.total)

        yield show


def _show(report: LoadReport) -> None:
    grid = Grid("表 / table", "读入 / read", "保存 / stored", "单元 / units", "处理 / what was done")
    for column in grid.columns[1:4]:
        column.justify = "right"
    for table in report.tables:
        done = [_finding(f) for f in table.findings]
        if table.ignored:
            done.append(f"未描述的列 / columns not described: {', '.join(table.ignored)}")
        if table.file is None:
            done.append("沿用上一版本 / carried over")
        grid.add_row(
            table.table, f"{table.rows_read:,}", f"{table.rows_stored:,}", f"{table.units:,}", "\n".join(done)
        )
    console.print(f"{report.dataset}: 版本 / version {report.version}")
    console.print(grid)


def _finding(finding: Finding) -> str:
    rule, effect = RULES[finding.rule], EFFECTS[finding.effect]
    column = f"{finding.column}: " if finding.column else ""
    return f"{column}{finding.count:,} × {rule.zh}，{effect.zh} / {rule.en}, {effect.en}"


def _explain(refused: LoadRefused) -> None:
    console.print("没有载入，旧版本仍在使用。 / Nothing was loaded; the version before still answers.")
    for problem in refused.problems:
        one = problem.refused()
        for text in (one.message, one.hint):
            if text is not None:
                console.print(f"  {text.zh}\n  {text.en}")
