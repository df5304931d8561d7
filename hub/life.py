"""How long a sandbox lives and why it ended, in words for its member.

A sandbox ends when nobody has been there for some hours: no page of it open, and no kernel busy. A kernel that works keeps it,
up to a maximum that is published on the home page and counts from the start. Ten minutes before the maximum JupyterLab and the
home page say so, and a click gives as long again.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sandbox_guard.errors import Text

WARNING = dt.timedelta(minutes=10)
NEARLY_FULL = 80
"""Percent of what a member's folder may hold."""


@dataclass(frozen=True)
class Life:
    """Of one sandbox that runs; moments in UTC."""

    began: dt.datetime
    """When it was started, or kept."""
    active: dt.datetime
    """When somebody, or a kernel, last did something."""
    longest: dt.timedelta
    idle: dt.timedelta

    @property
    def ends(self) -> dt.datetime:
        return self.began + self.longest

    def soon(self, now: dt.datetime) -> bool:
        """Is it time to say so?"""
        return now >= self.ends - WARNING

    def over(self, now: dt.datetime) -> Text | None:
        """Why it ends now."""
        if now >= self.ends:
            hours = _hours(self.longest)
            return Text(
                f"它已连续运行 {hours} 小时，达到上限，因而停止；提前十分钟给出过提示。",
                f"It had run for {hours} hours, which is the most, and was stopped; ten minutes before, it said so.",
            )
        if now >= max(self.began, self.active) + self.idle:
            hours = _hours(self.idle)
            return Text(
                f"{hours} 小时内没有打开的页面，也没有运行中的内核，因而停止。",
                f"For {hours} hours no page of it was open and no kernel was busy, so it was stopped.",
            )
        return None


def _hours(span: dt.timedelta) -> str:
    return f"{span / dt.timedelta(hours=1):g}"


def ends_soon(life: Life, now: dt.datetime) -> Text:
    minutes = max(1, round((life.ends - now) / dt.timedelta(minutes=1)))
    return Text(
        f"这个沙箱约 {minutes} 分钟后达到运行上限并停止：文件会保留，内核中的变量不会。",
        f"In about {minutes} minutes this sandbox reaches its longest time and stops: files stay, variables in kernels do not.",
    )


def nearly_full(percent: int) -> Text:
    return Text(
        f"您的目录已用 {percent} %。删除的文件先进回收站，仍占空间；在单元格中运行 !rm -rf ~/.local/share/Trash 可清空回收站。",
        f"Your folder is {percent} % full. Deleted files go to the trash and still take room; !rm -rf ~/.local/share/Trash in a cell "
        "empties it.",
    )


SUSPENDED = Text(
    "其成员、项目或数据被暂停使用，因而停止。详情请联系数据管理员。",
    "Its member, project or data was suspended, so it was stopped. Ask the data steward.",
)
OVERFULL = Text(
    "它的目录超过了容量上限，因而停止。再次打开后请先清理文件。",
    "Its folder grew past what it may hold, so it was stopped. Open it again and clean up first.",
)
VAULT_ENDED = Text(
    "保险库意外退出，笔记本随之停止。已计费的查询可再次提问，免费得到答案。",
    "Its vault ended unexpectedly, and the notebook with it. What was charged is answered free when asked again.",
)
NOTEBOOK_ENDED = Text(
    "笔记本服务退出了：可能内存不足，或在菜单中被关闭。",
    "Its notebook server ended: out of memory, perhaps, or shut down from its menu.",
)
ENDED = Text("它意外停止了。", "It ended unexpectedly.")
