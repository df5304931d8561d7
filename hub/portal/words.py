"""Numbers, times and fixed terms as people read them. (Glossary of the Chinese pages: 隐私预算, 隐私单元, …)"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

from hub.language import Language, translator
from hub.portal.ledger import RHO_UNITS
from sandbox_guard.errors import Text

CLASSIFICATION = {
    "open": Text("无条件开放", "open"),
    "conditional": Text("有条件开放", "conditional"),
    "closed": Text("非开放", "not open"),
}
LEVEL = {
    "population": Text("总体（全部数据集、全部项目）", "population (all datasets, all projects)"),
    "dataset": Text("数据集（全部项目合计）", "dataset (all projects together)"),
    "project": Text("项目（全体成员共用）", "project (shared by its members)"),
    "member": Text("成员", "member"),
}
TYPE = {
    "boolean": Text("是 / 否", "yes / no"),
    "integer": Text("整数", "whole number"),
    "number": Text("数值", "number"),
    "date": Text("日期", "date"),
    "string": Text("文本", "text"),
}
KIND = {
    "policy": Text("策略生效", "policy"),
    "charge": Text("计费", "charge"),
    "reserve": Text("重新排期", "reserved again"),
    "release": Text("结果发布", "release"),
    "fault": Text("故障", "fault"),
    "refusal": Text("拒绝", "refusal"),
    "reuse": Text("免费重现", "reuse"),
    "suspend": Text("暂停", "suspend"),
    "resume": Text("恢复", "resume"),
    "renew": Text("续期", "renew"),
    "close": Text("关闭", "close"),
    "sandbox": Text("沙箱", "sandbox"),
    "download": Text("下载", "download"),
    "load": Text("数据装载", "load"),
    "restore": Text("台账恢复", "restore"),
}
RELIABILITY = {
    "high": Text("高", "high"),
    "usable": Text("可用", "usable"),
    "caution": Text("谨慎", "caution"),
}
RELIABILITY_MEANING = {
    "high": Text("误差不超过数值的 5 %", "margin at most 5 % of the figure"),
    "usable": Text("误差不超过数值的 20 %", "margin at most 20 % of the figure"),
    "caution": Text("误差超过数值的 20 %", "margin above 20 % of the figure"),
}
SUBJECT = {
    "member": Text("成员", "member"),
    "project": Text("项目", "project"),
    "dataset": Text("数据集", "dataset"),
}


def sayer(chosen: Language) -> Callable[[Any], str]:
    """`say(x)` for templates: whatever has `zh` and `en`, in the page's language."""
    t = translator(chosen)
    return lambda text: "" if text is None else t(text.zh, text.en)


def pair(form: Any) -> Text:
    """A `{zh, en}` that came as JSON."""
    return Text(str(form["zh"]), str(form["en"]))


def percent(value: float) -> str:
    """Never rounded to a zero or a hundred that it is not."""
    if value <= 0:
        return "0 %"
    if value < 0.01:
        return "< 0.01 %"
    if value >= 99.995:
        return "100 %" if value >= 100 else "> 99.99 %"
    digits = 2 if value < 1 or value > 99 else 1
    return f"{_trimmed(f'{value:.{digits}f}')} %"


def number(value: Any, margin: float | None = None) -> str:
    """Thousands separated; as many decimals as the margin warrants."""
    if value is None:
        return "—"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if margin is not None and margin > 0:
        return _signed(f"{value:,.{_decimals(margin)}f}")
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.2f}"


def _signed(text: str) -> str:
    """Without the minus of a zero."""
    return text.lstrip("-") if not text.strip("-0.,") else text


def margin(width: float) -> str:
    """A half-width with two significant digits, rounded up so that it is never understated."""
    if width <= 0:
        return "0"
    scale = 10 ** _decimals(width)
    return f"{math.ceil(width * scale - 1e-9) / scale:,.{_decimals(width)}f}"


def _decimals(width: float) -> int:
    return max(0, min(8, 1 - math.floor(math.log10(width))))


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def epsilon(value: float) -> str:
    return f"{value:.3g}"


def delta(value: float) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{_trimmed(mantissa)}e{int(exponent)}"


def rho(units: int) -> str:
    return f"{units / RHO_UNITS:.6g}"


def when(at: dt.datetime | str) -> str:
    """In this machine's time zone, with its offset."""
    moment = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S (UTC%z)}"
