"""May a question be sharpened: asked again, both answers then averaged by how sure each is?

Averaging is sound for accuracy (privacy is not touched: each answer is paid) where both answers are the same
exact numbers plus independent noise of zero mean. The planner knows; a client only sees tables.
"""

from __future__ import annotations

from sandbox_guard.errors import Text
from sandbox_guard.sql.plan import Discovered, MeasureKind, Output, Plan
from sandbox_guard.sql.relation import Project, Released, Sort
from sandbox_guard.sql.weighted import weighted

ADDITIVE = frozenset({MeasureKind.COUNT, MeasureKind.UNITS, MeasureKind.DISTINCT, MeasureKind.SUM})


def why_not_sharper(plan: Plan) -> Text | None:
    """None where it may."""
    if not plan.blocks:
        return Text("结果只含公开数据，没有噪声。", "The answer is public data and carries no noise.")
    if len(plan.blocks) > 1:
        return Text(
            "查询含多次汇总，后面的汇总可能取决于前面的噪声；请分别提问。",
            "The query aggregates more than once, and a later part may depend on the noise of an earlier one; "
            "ask the parts one by one.",
        )
    if any(isinstance(key.domain, Discovered) for key in plan.blocks[0].keys):
        return Text(
            "分组键由带噪声的阈值筛选，再问一次会得到另一组键；请按取值公开的列分组，或 JOIN 公开表。",
            "Its group keys passed a noisy threshold, and asking again would choose others; group by a column "
            "with declared values, or join a public table.",
        )
    if not _keeps_every_row(plan):
        return Text(
            "HAVING、LIMIT 或外层的筛选按带噪声的数选行，平均后会有偏差；请去掉它，在笔记本里筛选。",
            "HAVING, LIMIT or an outer filter chose rows by their noise, so an average would be biased; "
            "leave it out and filter in the notebook.",
        )
    for output in plan.outputs:
        if output.noisy and not _is_a_count_or_sum(plan, output):
            return Text(
                f"“{output.label}”不是计数或求和本身（例如平均值、比例、分位数）；请改问 SUM 与 COUNT，在笔记本里相除。",
                f"“{output.label}” is not a count or a sum as it stands (an average, a ratio, a quantile); "
                "ask for SUM and COUNT, and divide in the notebook.",
            )
    return None


def _is_a_count_or_sum(plan: Plan, output: Output) -> bool:
    found = weighted(plan, output)
    if found is None or found.single is None:
        return False
    measure = plan.blocks[0].measures[found.single]
    return measure.kind in ADDITIVE and found.weights == ((found.single, measure.step),)


def _keeps_every_row(plan: Plan) -> bool:
    node = plan.final
    while isinstance(node, Project) or (
        isinstance(node, Sort) and node.limit is None and node.offset is None
    ):
        node = node.input
    return isinstance(node, Released)
