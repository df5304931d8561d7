"""What auditors and stewards type: `sandbox-guard audit …`. Mounted by the command line.

These read the ledger's database itself, so they work with the service running or not.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sandbox_guard.ledger.backup import NotRestored, backup, highest_mark_in, reopen, restore
from sandbox_guard.ledger.checkpoints import PUBLIC_KEY, kept_checkpoints
from sandbox_guard.ledger.database import reading
from sandbox_guard.ledger.evidence import write_bundle, write_csv, write_parquet
from sandbox_guard.ledger.report import month
from sandbox_guard.ledger.settings import Settings
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.tables import compare_tables
from sandbox_guard.ledger.verify import Verdict, evidence_leaves, leaves, verify
from sandbox_guard.ledger.wire import Act, EntryFilter, EntryKind

ledger_app = typer.Typer(help="备份与恢复预算台账 · Back up and restore the ledger.")
audit_app = typer.Typer(help="读取并验证审计日志 · Read the audit log and prove that it was not altered.")


RHO = 10**9
"""Micro-units of rho."""


@audit_app.command("verify")
def audit_verify(
    export: Annotated[
        Path | None, typer.Argument(help="An exported log; without it, the ledger itself.")
    ] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint you kept. May be given several times.")
    ] = None,
    public_key: Annotated[Path | None, typer.Option(help="The ledger's public key, as you kept it.")] = None,
) -> None:
    """Was anything removed, altered or reordered, and do the balances equal the charges?

    A yes, or a no that names the first bad entry; the exit status is 0 or 1.
    """
    settings = Settings.from_environment()
    key_file = public_key or settings.checkpoints / PUBLIC_KEY
    notes = [path.read_text("utf-8") for path in checkpoint or ()]
    if export is not None:
        with export.open("rb") as lines:
            verdict = verify(lines, key_file.read_text("utf-8"), notes)
    else:
        verdict = _verify_in_place(settings, key_file, notes)
    typer.echo(verdict.sentence("zh"))
    typer.echo(verdict.sentence("en"))
    raise typer.Exit(0 if verdict.good else 1)


def _verify_in_place(settings: Settings, key_file: Path, notes: Iterable[str]) -> Verdict:
    store = settings.open_store()
    key = key_file.read_text("utf-8") if key_file.exists() else store.public_key
    verdict = verify(store.export(), key, [*notes, *kept_checkpoints(settings.checkpoints)])
    if not verdict.good:
        return verdict
    with reading(store.engine) as connection:
        return compare_tables(connection)


@audit_app.command("export")
def audit_export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file instead of the terminal.")
    ] = None,
) -> None:
    """The whole log as JSON lines: what `audit verify` and `verify.py` read."""
    lines = _store().export()
    if output is None:
        sys.stdout.writelines(lines)
        return
    with output.open("w", encoding="ascii") as file:
        file.writelines(lines)


@audit_app.command("checkpoint")
def audit_checkpoint(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file instead of the terminal.")
    ] = None,
) -> None:
    """A signed checkpoint of the log as it is now. Keep it where the operator cannot reach it."""
    note = _store().checkpoint()
    if output is None:
        typer.echo(note, nl=False)
    else:
        output.write_text(note, "utf-8")


@audit_app.command("table")
def audit_table(
    output: Annotated[Path, typer.Argument(help="A file, .csv or .parquet.")],
    project: str | None = None,
) -> None:
    """All entries as a table; a CSV is safe to open in a spreadsheet."""
    entries = _store().matching(EntryFilter(project=project))
    if output.suffix == ".parquet":
        write_parquet(entries, output)
        return
    with output.open("w", encoding="utf-8-sig", newline="") as file:
        write_csv(entries, file)


@audit_app.command("report")
def audit_report(
    project: str,
    month_: Annotated[
        str | None, typer.Option("--month", help="Such as 2026-11; without it, this month.")
    ] = None,
) -> None:
    """What one project asked, spent and got in a month, by day, member and dataset."""
    try:
        since, until = month(month_ or f"{dt.date.today():%Y-%m}")
    except ValueError:
        raise typer.BadParameter("月份须形如 2026-11 · a month must look like 2026-11") from None
    found = _store().report(project, since, until)
    console = Console()
    total = found.total
    console.print(
        f"{project} {since:%Y-%m}: ρ {total.rho / RHO:.6g}; "
        f"计费 {total.questions} · charged; 免费 {total.free} · free; 拒绝 {total.refused} · refused; "
        f"发布 {found.releases} · released; 故障 {found.faults} · faults",
        highlight=False,
    )
    most = max((day.rho for day in found.days), default=0) or 1
    for heading, rows, drawn in (
        ("日 · day", [day for day in found.days if day.questions or day.free or day.refused], True),
        ("成员 · member", found.members, False),
        ("数据集 · dataset", found.datasets, False),
    ):
        table = Table(heading, "计费 charged", "免费 free", "拒绝 refused", "ρ", *([""] if drawn else []))
        for row in rows:
            bar = ["█" * round(20 * row.rho / most)] if drawn else []
            counts = (str(row.questions), str(row.free), str(row.refused))
            table.add_row(row.name, *counts, f"{row.rho / RHO:.6g}", *bar)
        console.print(table, markup=False)
    for code, count in found.refusals.items():
        console.print(f"{count} × {code}", highlight=False)
    for decided in found.decisions:
        at = decided.at.astimezone().isoformat(sep=" ")
        console.print(
            f"#{decided.position} {at} {decided.kind} {decided.actor} {decided.about}: {decided.reason}",
            highlight=False,
            markup=False,
        )


@audit_app.command("evidence")
def audit_evidence(project: str, output: Annotated[Path, typer.Argument(help="A zip.")]) -> None:
    """One project's entries with proofs, for a third party who has only the public key."""
    typer.echo(f"{output}: {write_bundle(_store(), project, output)} 条 / entries")


@audit_app.command("entries")
def audit_entries(
    person: Annotated[str | None, typer.Option(help="Member or steward.")] = None,
    project: str | None = None,
    dataset: str | None = None,
    kind: EntryKind | None = None,
    code: Annotated[str | None, typer.Option(help="Of refusals, such as budget.member.")] = None,
    since: Annotated[str | None, typer.Option(help="A time, such as 2026-11-23T08:00+08:00.")] = None,
    until: str | None = None,
    min_rho: Annotated[float | None, typer.Option(help="Charges of at least so much rho.")] = None,
    text: Annotated[str | None, typer.Option(help="Occurs in the SQL or the facts.")] = None,
    before: Annotated[int | None, typer.Option(help="Older than this position: the next page.")] = None,
    limit: int = 50,
) -> None:
    """The log, newest first. Times are shown in this machine's time zone."""
    asked = {
        "actor": person,
        "project": project,
        "dataset": dataset,
        "kind": kind,
        "code": code,
        "since": since,
        "until": until,
        "min_rho": None if min_rho is None else round(min_rho * RHO),
        "text": text,
        "before": before,
        "limit": limit,
    }
    page = _store().entries(EntryFilter.model_validate(asked))
    table = Table("#", "at", "kind", "who", "project", "what")
    for entry in page.entries:
        at = entry.at.astimezone().isoformat(sep=" ")
        facts = entry.facts
        what = str(facts.get("sql") or facts.get("reason") or facts.get("code") or "")
        if entry.kind is EntryKind.DOWNLOAD:
            what = f"{facts['path']} ({facts['outcome']}, {facts['bytes']} bytes)"
        table.add_row(str(entry.position), at, entry.kind, entry.actor, entry.project, what)
    console = Console()
    console.print(table, markup=False)
    if page.next_before is not None:
        console.print(f"--before {page.next_before}")


@ledger_app.command("backup")
def ledger_backup(target: Annotated[Path, typer.Argument(help="The file to write, a zip.")]) -> None:
    """Write the whole ledger to one file. Keys are not in it: keep `keys/` of the state folder as well."""
    typer.echo(f"{target}: {backup(_store(), target)} 条 / entries")


@ledger_app.command("restore")
def ledger_restore(source: Annotated[Path, typer.Argument(help="What `backup` wrote.")]) -> None:
    """Replace the ledger by a backup. Charges wait until `reopen`; what was there before is exported first."""
    settings = Settings.from_environment()
    store = settings.open_store()
    keep = settings.home / "ledger" / f"before-restore-{store.now.replace(':', '')}.jsonl"
    with _explained():
        size = restore(store, source, keep)
    typer.echo(
        f"已恢复 {size} 条；补齐缺口前不受理计费。 Restored {size} entries; no charges before `reopen`."
    )
    if keep.exists():
        typer.echo(f"原有日志 / the log as it was: {keep}")


@ledger_app.command("reopen")
def ledger_reopen(
    actor: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the log.")],
    export: Annotated[Path | None, typer.Option(help="Exported entries that continue the backup.")] = None,
    mark: Annotated[
        int | None, typer.Option(help="Highest entry acknowledged to vaults of other hosts.")
    ] = None,
) -> None:
    """Take charges again after a restore: with the exported entries, or with every budget of the gap spent."""
    settings = Settings.from_environment()
    highest = max(highest_mark_in(settings.marks), -1 if mark is None else mark)
    lines = export.read_text("ascii").splitlines(keepends=True) if export else None
    with _explained():
        position = reopen(
            settings.open_store(), Act(actor=actor, reason=reason), highest_mark=highest, export=lines
        )
    if lines is None:  # the marks are of entries that there will never be again
        for path in settings.marks.glob("*.mark"):
            path.rename(path.with_suffix(".before-restore"))
    typer.echo(f"条目 {position} · entry {position}")


@contextmanager
def _explained() -> Iterator[None]:
    """Says why something did not happen, without a traceback."""
    try:
        yield
    except NotRestored as error:
        typer.echo(f"未执行 · not done: {error}", err=True)
        raise typer.Exit(1) from None


def logged_leaves(export: Path | None) -> Iterator[bytes]:
    """The entries of an export, of an evidence bundle (a zip), or of the ledger itself."""
    if export is None:
        yield from leaves(line.encode("ascii") for line in _store().export())
    elif export.suffix == ".zip":
        yield from evidence_leaves(export)
    else:
        with export.open("rb") as lines:
            yield from leaves(lines)


def _store() -> LedgerStore:
    return Settings.from_environment().open_store()
