"""`sandbox-guard …`: what stewards and auditors type. Each group of commands lives beside what it does."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.ledger.commands import audit_app, ledger_app, logged_leaves
from sandbox_guard.ledger.wire import Act, EntryKind, Terms
from sandbox_guard.policy.archive import files_of
from sandbox_guard.policy.document import PolicyError
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies
from sandbox_guard.policy.terms import compile_terms
from sandbox_guard.release_time import keep
from sandbox_guard.steward.commands import add_commands

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="数据沙箱：装入数据、策略与审计 · Sandbox Guard: data, policies and audit.",
)
policy_app = typer.Typer(no_args_is_help=True, help="策略文件 · Policy files.")
app.add_typer(policy_app, name="policy")
app.add_typer(audit_app, name="audit")
app.add_typer(ledger_app)
add_commands(app)

console = Console(highlight=False, soft_wrap=True, markup=False)

PolicyFolder = Annotated[
    Path, typer.Option("--policies", envvar="SANDBOX_GUARD_POLICIES", help="策略目录 · The policy folder.")
]
StateFolder = Annotated[
    Path, typer.Option("--home", envvar="SANDBOX_GUARD_HOME", help="状态目录 · The state directory.")
]


@policy_app.command("check")
def policy_check(policies: PolicyFolder = Path("policies")) -> None:
    """检查策略文件，列出全部问题及改法 · List all mistakes, with file, line and fix."""
    read = _read(policies)
    console.print(
        f"策略无误：{len(read.datasets)} 个数据集，{len(read.projects)} 个项目 / "
        f"No mistakes: {len(read.datasets)} datasets, {len(read.projects)} projects. {read.digest[:16]}"
    )


@policy_app.command("apply")
def policy_apply(
    policies: PolicyFolder = Path("policies"),
    home: StateFolder = Path("var"),
    reason: Annotated[
        str, typer.Option(help="记入日志的理由 · Why, for the log.")
    ] = "sandbox-guard policy apply",
) -> None:
    """使策略生效；台账记录其摘要 · Put the policies in force; the ledger logs their digest."""
    read = _read(policies)
    with _ledger(home) as ledger:
        entries = _answer(ledger.get("/v1/entries", params={"kind": EntryKind.POLICY, "limit": 1}))["entries"]
        if entries and entries[0]["facts"]["policy_digest"] == read.digest:
            console.print(f"已经生效，未作更改 / In force already, nothing changed. {read.digest[:16]}")
            return
        body = {
            "terms": Terms.model_validate({**compile_terms(read), "files": files_of(policies)}).model_dump(
                mode="json"
            ),
            "act": Act(actor=getpass.getuser(), reason=reason).model_dump(mode="json"),
        }
        position = _answer(ledger.put("/v1/terms", json=body))["position"]
    console.print(f"策略已生效，日志第 {position} 条 / In force, log entry {position}. {read.digest[:16]}")


@audit_app.command("replan")
def audit_replan(
    export: Annotated[
        Path | None,
        typer.Argument(
            help="导出的日志或项目证据包 · An exported log or evidence bundle; else the ledger itself."
        ),
    ] = None,
) -> None:
    """逐条重新计划日志中的查询，比对边界与价格 · Plan each logged query again; compare bounds and price.

    A yes, or a no that names the first entry that differs; the exit status is 0 or 1.
    """
    from sandbox_guard.replan import replan  # loads the whole planner, which other commands need not wait for

    found = replan(logged_leaves(export))
    for language in ("zh", "en"):
        for sentence in found.sentences(language):
            console.print(sentence)
    raise typer.Exit(0 if found.difference is None else 1)


Reason = Annotated[str, typer.Option(help="记入日志的理由 · Why, for the log.")]
SubjectKind = Annotated[str, typer.Argument(help="member | project | dataset | shape")]
Named = Annotated[str, typer.Argument(help="名称 · Its name.")]


@app.command("suspend")
def suspend(kind: SubjectKind, name: Named, reason: Reason, home: StateFolder = Path("var")) -> None:
    """暂停成员、项目、数据集或查询形状，自下一次查询起生效 · Suspend a member, project, dataset or shape."""
    _decide(home, "/v1/suspensions", {"subject": {"kind": kind, "name": name}}, reason)


@app.command("resume")
def resume(kind: SubjectKind, name: Named, reason: Reason, home: StateFolder = Path("var")) -> None:
    """恢复被暂停者 · End a suspension."""
    _decide(home, "/v1/resumptions", {"subject": {"kind": kind, "name": name}}, reason)


@app.command("renew")
def renew(
    account: Annotated[str, typer.Argument(help="预算账户，见门户或 audit entries · The account's key.")],
    reason: Reason,
    home: StateFolder = Path("var"),
) -> None:
    """续期一个预算账户；过去的花费仍计入所示的 (ε, δ) · Start a new term of one budget."""
    _decide(home, "/v1/renewals", {"account": account}, reason)


@app.command("close")
def close(project: Named, reason: Reason, home: StateFolder = Path("var")) -> None:
    """永久关闭项目 · Close a project for good."""
    _decide(home, "/v1/closings", {"project": project}, reason)


@app.command("calibrate")
def calibrate(
    home: StateFolder = Path("var"),
    threads: Annotated[int, typer.Option(help="保险库引擎的线程数 · Threads of a vault's engine.")] = 1,
    cores: Annotated[
        str | None, typer.Option(help="在哪些核上测量，如 2,3 · On which cores, such as 2,3.")
    ] = None,
    again: Annotated[bool, typer.Option(help="重新测量 · Measure anew.")] = False,
) -> None:
    """用虚构数据测量本机速度；答案的发布时间由此推算 · Measure this machine on invented data, for release times."""
    if cores is not None:
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    rates, limits = home / "rates.json", Limits(threads=threads)
    if again:
        rates.unlink(missing_ok=True)
    done = keep(rates, limits)
    console.print(
        f"已测量，写入 {rates} / Measured: {rates}" if done else f"已经测过 / Measured already: {rates}"
    )


def _decide(home: Path, endpoint: str, what: dict[str, Any], reason: str) -> None:
    """A steward's decision: who and why stand in the log with it."""
    act = Act(actor=getpass.getuser(), reason=reason).model_dump(mode="json")
    with _ledger(home) as ledger:
        position = _answer(ledger.post(endpoint, json={**what, "act": act}))["position"]
    console.print(f"已记入日志第 {position} 条 / Done, log entry {position}.")


def _read(policies: Path) -> Policies:
    try:
        return read_policies(policies)
    except PolicyError as error:
        console.print(error.text("zh"))
        console.print(error.text("en"))
        raise typer.Exit(1) from None


@contextmanager
def _ledger(home: Path) -> Iterator[httpx.Client]:
    """The ledger's service, spoken to with the stewards' token."""
    port = os.environ.get("SANDBOX_GUARD_LEDGER_PORT") or "8201"
    url = os.environ.get("SANDBOX_GUARD_LEDGER_URL", f"http://127.0.0.1:{port}")
    token = home / "keys" / "admin.token"
    if not token.is_file():
        console.print(f"找不到 {token}：请先运行 make run / {token} is missing: run `make run` first.")
        raise typer.Exit(1)
    headers = {"Authorization": f"Bearer {token.read_text('ascii').strip()}"}
    try:
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30.0) as client:
            yield client
    except httpx.TransportError:
        console.print(f"台账没有应答，先运行 make run / The ledger does not answer; `make run` first. {url}")
        raise typer.Exit(1) from None


def _answer(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        console.print(f"台账拒绝了请求 / The ledger refused: {response.text}")
        raise typer.Exit(1)
    return dict(response.json())


def main() -> None:
    app()


if __name__ == "__main__":
    main()
