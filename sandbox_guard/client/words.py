"""What the client says, and in which language: Chinese unless told otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("zh", "en")

_current = os.environ.get("SANDBOX_GUARD_LANGUAGE", "zh")
if _current not in LANGUAGES:
    _current = "zh"


def language(code: str | None = None) -> str:
    """Say in which language results and refusals appear: 'zh' or 'en'. Without argument, tell it."""
    global _current
    if code is not None:
        if code not in LANGUAGES:
            raise ValueError(f"language is 'zh' or 'en', not {code!r}")
        _current = code
    return _current


def pick(text: Mapping[str, str] | str | None) -> str:
    """The current language's half of a text that the vault sent in both."""
    if text is None or isinstance(text, str):
        return text or ""
    return text.get(_current) or text.get("en") or ""


def say(key: str, /, **facts: object) -> str:
    """One of the client's own sentences."""
    return WORDS[key][LANGUAGES.index(_current)].format_map(facts)


def sentences(*parts: str) -> str:
    """Those that are there, in one line."""
    return ("" if _current == "zh" else " ").join(part for part in parts if part)


WORDS: Final[Mapping[str, tuple[str, str]]] = {
    # what a result says of itself (MANNERS 9, 11)
    "paid": (
        "本次花费项目预算的 {project}（个人预算的 {member}）。",
        "This cost {project} of your project's budget ({member} of your own).",
    ),
    "would_cost": (
        "此问题将花费项目预算的 {project}（个人预算的 {member}）。",
        "This costs {project} of your project's budget ({member} of your own).",
    ),
    "free": (
        "免费：同一问题此前已发布，这是当时的结果。",
        "Free: this question was answered before, and this is that answer.",
    ),
    "arrives": (
        "答案在开始计算后 {seconds} 秒返回，与数据无关。",
        "The answer arrives {seconds} s after work on it begins, whatever the data.",
    ),
    "would_be_free": (
        "免费：同一问题此前已发布，再问不计费。",
        "Free: this question was answered before.",
    ),
    "remains": ("{head}：{left}。", "{head}: {left}."),
    "remaining": ("剩余", "Remaining"),
    "remaining_after": ("问后剩余", "Remaining afterwards"),
    "comma": ("，", ", "),
    "bar": ("剩余 {left}", "{left} left"),
    "bar_now": ("剩余 {left}，本次 {now}", "{left} left, this question {now}"),
    "more_like_this": ("还可再问约 {n} 个类似的问题。", "About {n} more like it fit."),
    "ask_again_free": ("再问同一问题免费。", "Asking again is free."),
    "strategy": ("做法：{strategy}", "Strategy: {strategy}"),
    "strategy_one_row": (
        "每个受保护的单元在表中至多一行，无须截断。",
        "Each protected unit has at most one row, so nothing is cut off.",
    ),
    "strategy_rank": (
        "每个受保护的单元只计规定行数以内的记录。",
        "Of each protected unit, rows count up to a fixed number.",
    ),
    "strategy_per_unit": (
        "先按每个受保护的单元汇总，再合计。",
        "Rows are summed up for each protected unit first, then over all.",
    ),
    "strategy_public": ("只用公开数据。", "Public data only."),
    "strategy_fewer": (
        "少计几行可换来更小的误差：guard.fewer_rows(sql)。",
        "Counting fewer rows may narrow the margins: guard.fewer_rows(sql).",
    ),
    "rows_counted": ("每个单元最多计入的行数", "Rows of each unit that count"),
    "cost": ("项目预算", "Project's budget"),
    "fewer_rows": (
        "计入的行越少，噪声越小；但超出的行不再计入，合计会偏小。偏小多少取决于数据，不花预算无从得知：可先在样本上比较。",
        (
            "The fewer rows count, the smaller the noise; but further rows are left out, and totals come out too low. "
            "By how much depends on the data and cannot be told for free: compare on the sample first."
        ),
    ),
    "fewer_rows_choose": ("选定后：rows_per_unit=行数。", "To choose: rows_per_unit=number."),
    "nothing_spent": ("这是估价，没有花费预算。", "This is an estimate. Nothing was spent."),
    "meaning": (
        "± 是噪声误差：100 次这样的回答中，约有 95 次真实值落在此范围内。",
        "± is the noise margin: in 95 of 100 such answers the true figure lies within it.",
    ),
    "simulated": (
        "部分误差范围由模拟得出。",
        "Some margins were found by simulation.",
    ),
    "reliability": ("可靠性：", "Reliability: "),
    "high": ("高", "high"),
    "usable": ("可用", "usable"),
    "caution": ("谨慎", "caution"),
    "high_means": ("误差不超过数值的 5 %", "margin at most 5 % of the figure"),
    "usable_means": ("不超过 20 %", "at most 20 %"),
    "caution_means": ("超过 20 %", "above 20 %"),
    "no_noise": ("不加噪声", "no noise"),
    "rows_shown": ("显示 {total} 行中的 {shown} 行。", "{shown} of {total} rows shown."),
    "no_rows": (
        "结果没有行：没有行符合条件，或没有分组达到公布所需的单元数。",
        "No rows: none meets the conditions, or no group has units enough to be shown.",
    ),
    "receipt": ("凭证", "Receipt"),
    "released_at": ("发布时间", "Released"),
    "position": ("日志序号", "Log entry"),
    "digest": ("结果摘要", "Digest"),
    "versions": ("数据版本", "Data versions"),
    "guarantee": ("隐私保证", "Guarantee"),
    "total_guarantee": ("；本次 ε = {epsilon}，δ = {delta}", "; this answer: ε = {epsilon}, δ = {delta}"),
    "process_backend": (
        "试用模式：沙箱只是本机进程，隔离有限，请勿放入真实数据。",
        "Trial mode: sandboxes are local processes that isolate little. Keep real data out.",
    ),
    # sharpen (MANNERS 5)
    "sharpen_extra": (
        "再问一次，并与已有结果合并。以下是额外花费：",
        "Ask once more and combine with what is known. This is the extra price:",
    ),
    "margin_now": ("现有误差", "Margin now"),
    "margin_then": ("合并后", "Combined"),
    "sharpen_ask": (".ask() 提问并合并。", ".ask() asks and combines."),
    "combined_from": (
        "由 {n} 次发布按方差倒数加权合并；花费为各次之和。",
        "Combined from {n} releases by inverse variance; the cost is that of all of them.",
    ),
    "cannot_sharpen": ("此结果不能再加精。", "This answer cannot be sharpened."),
    "sharpen_unknown": (
        "只有本会话中由 guard.sql 或 %%guard 得到的结果可以；请重新运行原单元格（免费），再试。",
        "Only a result that guard.sql or %%guard gave in this session can. Run that cell again (free), and retry.",
    ),
    "sharpen_stale": (
        "数据、策略或日期已变，同一问题的答案已不同；请重新提问。",
        "Data, policy or date have changed, and with them what this question means. Ask anew.",
    ),
    "sharpen_rows": (
        "行之间无法区分，或没有带噪声的数；请在 SELECT 中列出全部分组列。",
        "Its rows cannot be told apart, or it holds no noisy number; select every column that it groups by.",
    ),
    "sharpen_moved": (
        "两次提问之间数据更新了，无法合并；新的结果见 guard.history()[0]。",
        "The data changed between both answers, so they are not combined; the new one is guard.history()[0].",
    ),
    "sharp_enough": ("误差已经够小：{held}。", "It is that sure already: {held}."),
    "margin_above_0": ("margin= 须大于 0。", "margin= must be above 0."),
    # while an answer is waited for
    "waiting": (
        "已提交，等待回答（已等 {waited} 秒）。",
        "Submitted; waiting for the answer ({waited} s so far).",
    ),
    "waiting_due": (
        "已提交，约 {left} 秒后返回（已等 {waited} 秒）。",
        "Submitted; the answer is due in about {left} s ({waited} s so far).",
    ),
    "waiting_queued": (
        "已提交，正在排队：别的问题先到（已等 {waited} 秒）。",
        "Submitted and queued behind other questions ({waited} s so far).",
    ),
    "waiting_lost": (
        "查询服务意外退出，系统会重新启动它并再次提交（已等 {waited} 秒）。笔记本中的内容不受影响，也不会重复计费。",
        "The query service ended; it is started again and asked anew ({waited} s so far). Nothing here is lost or charged twice.",
    ),
    # the sample
    "sample": (
        "样本数据集上的试运行：虚构数据，精确计算，不计费，与真实数据无关。",
        "Dry run on the sample: invented data, exact figures, no charge, nothing to do with the real data.",
    ),
    "no_samples": (
        "这里没有样本数据集（SANDBOX_GUARD_SAMPLES 未设置或文件夹为空）。",
        "There are no sample datasets here (SANDBOX_GUARD_SAMPLES is unset, or its folder is empty).",
    ),
    "changed": (
        "此表在发布后被修改过，因此不再显示误差。原表见 .released()。",
        "This table was changed after its release, so margins are not shown. The original: .released().",
    ),
    # failures
    "refused": ("拒绝", "Refused"),
    "nothing_charged": ("未计费", "nothing was charged"),
    "at": ("第 {line} 行第 {column} 列：", "line {line}, column {column}:"),
    "hint": ("建议：", "Hint: "),
    "instead": ("可改写为：", "Write instead:"),
    "fault": ("故障", "Fault"),
    "unreachable": ("无法连接", "Unreachable"),
    "unreachable_message": (
        "沙箱的查询服务没有响应。",
        "The sandbox's query service does not answer.",
    ),
    "unreachable_hint": (
        "稍候再运行同一单元格：已提交的问题不会重复计费。仍不行，请在“文件 → Hub 控制面板”停止并重新启动服务器。",
        "Run the same cell again: nothing is charged twice. If that fails, restart in File → Hub Control Panel.",
    ),
    "no_address": (
        "未设置 SANDBOX_GUARD_URL：这里不是沙箱笔记本。",
        "SANDBOX_GUARD_URL is not set: this is not a sandbox notebook.",
    ),
    "no_address_hint": (
        "请从门户打开项目的笔记本，或用 guard.connect(url, token) 指明地址与令牌。",
        "Open your project's notebook from the portal, or name address and token: guard.connect(url, token).",
    ),
    "cancelled": ("已取消", "Cancelled"),
    "cancelled_message": (
        "您中断了等待。问题若已提交，则已计费。",
        "You stopped waiting. If the question had been submitted, it is paid.",
    ),
    "cancelled_hint": (
        "再次运行同一单元格即可取回结果，不会重复计费。",
        "Run the same cell again to fetch the answer: it is not charged twice.",
    ),
    "unexpected": (
        "查询服务的回答无法理解（HTTP {status}）。",
        "The query service answered in a way this client does not understand (HTTP {status}).",
    ),
    # the client used wrongly
    "error": ("无法执行", "Cannot be done"),
    "needs_extra": (
        "缺少 Python 包 {package}。请安装：pip install 'sandbox-guard-client[{extra}]'",
        "The Python package {package} is missing. Install it: pip install 'sandbox-guard-client[{extra}]'",
    ),
    "bad_on": ("on= 只能是 'vault' 或 'sample'，不能是 {on}。", "on= is 'vault' or 'sample', not {on}."),
    "one_price": ("{names} 只能指定其一。", "Give one of {names}, not several."),
    "pure_needs_epsilon": ("pure=True 须同时指定 epsilon=。", "pure=True needs epsilon=."),
    "bad_parameter": (
        "参数 {name}：可传数字、文本、布尔、日期或 None，不能传 {type}。",
        "Parameter {name}: a number, text, boolean, date or None can be sent, not {type}.",
    ),
    "no_such_column": ("{name}：可选 {offered}。", "{name}: there is {offered}."),
    "nothing_noisy": ("没有带噪声的列。", "No column carries noise."),
    "no_such_row": (
        "{row} 没有指明一行：请给出键值、{{列名: 值}} 或行号。",
        "{row} names no row: give a key, {{column: value}} or a row number.",
    ),
    "not_one_row": ("{row} 对应 {n} 行，应为一行。", "{row} names {n} rows, not one."),
    "sql_on_magic_line": (
        "%%guard 一行只写选项，{text} 不是选项；SQL 写在下面各行。",
        "The %%guard line holds options, and {text} is none; SQL goes on the lines below.",
    ),
    "bad_option": ("%%guard：{message}", "%%guard: {message}"),
    "not_a_name": ("{text} 不是变量名", "{text} is not a name"),
    "connection_closed": ("连接已关闭。", "The connection is closed."),
    "cursor_closed": ("游标已关闭。", "The cursor is closed."),
    "no_result": (
        "没有可取的结果：请先执行查询。",
        "There is no result to fetch from: execute a question first.",
    ),
    "parameters_named": (
        "参数按名称传递：在 SQL 中写 :名称，并传入映射。",
        "Parameters are named: write :name in the SQL and pass a mapping.",
    ),
    "read_only": ("保险库只读，不支持 executemany。", "The vault is read-only; executemany is for writing."),
    # estimate, budget, catalogue, history
    "column": ("列", "Column"),
    "expected_margin": ("预计误差", "Expected margin"),
    "why": ("说明", "Note"),
    "unknown_margin": ("取决于数据", "depends on the data"),
    "budget": ("隐私预算", "Privacy budget"),
    "level": ("层级", "Level"),
    "name": ("名称", "Name"),
    "left": ("剩余", "Left"),
    "typical_left": ("约可再问", "Typical questions left"),
    "none_spent": ("尚无", "nothing yet"),
    "spent_so_far": ("累计 (ε, δ)", "Spent so far (ε, δ)"),
    "level_member": ("个人", "your own"),
    "level_project": ("项目", "project"),
    "level_population": ("隐私单元总体", "population"),
    "level_dataset": ("数据集", "dataset"),
    "project": ("项目：", "Project: "),
    "expires": ("（利用协议至 {date}）", "(agreement until {date})"),
    "protects": ("受保护的单元：{unit}", "Protected: {unit}"),
    "analyses_only": (
        "本项目只能运行已批准的分析：guard.analyses()",
        "This project runs approved analyses only: guard.analyses()",
    ),
    "table": ("表", "Table"),
    "title": ("名称", "Title"),
    "kind": ("类别", "Kind"),
    "private": ("受保护", "protected"),
    "public": ("公开", "public"),
    "type": ("类型", "Type"),
    "allowed": ("取值", "Values"),
    "description": ("说明", "Description"),
    "role_unit": ("隐私单元", "privacy unit"),
    "role_identifier": ("标识符，不可查询", "identifier, cannot be queried"),
    "role_other": ("指向其他主体，不可查询", "names another party, cannot be queried"),
    "parameters": ("参数", "Parameters"),
    "number": ("序号", "No."),
    "sql": ("SQL", "SQL"),
    "asked_by": ("提问人", "Asked by"),
    "history_hint": (
        "history()[序号] 重新打开结果，免费。",
        "history()[number] opens an answer again, free.",
    ),
    "empty": ("（无）", "(none)"),
    # comparison, chart
    "a_higher": ("{a} 高于 {b}（{n} / 100 的把握）", "{a} is higher than {b} ({n} of 100)"),
    "b_higher": ("{b} 高于 {a}（{n} / 100 的把握）", "{b} is higher than {a} ({n} of 100)"),
    "cannot_tell": (
        "无法判断 {a} 与 {b} 孰高：差异不超出噪声（{n} / 100）",
        "cannot tell whether {a} or {b} is higher: the difference is within the noise ({n} of 100)",
    ),
    "noise_only": (
        "只计噪声，不计抽样、截断等其他误差。",
        "From the noise alone: sampling, clipping and other errors are not counted.",
    ),
    "band_short": ("误差带", "noise margin"),
    "band": ("误差带：噪声误差，95 %", "Bands: noise margin, 95 %"),
}
