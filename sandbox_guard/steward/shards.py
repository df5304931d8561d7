"""Which units are ranked together: a unit's shard is a function of its id alone.

Rows are staged in the order of their shards, so that each bucket of units reads its own rows and no others: were
every bucket to search the whole table, a load's cost would grow with the square of its rows.
"""

from __future__ import annotations

from sandbox_guard.steward import units
from sandbox_guard.steward.sql import name
from sandbox_guard.steward.tables import Stored

SHARDS = 4096
"""At most so many buckets; a number of shards makes a bucket, since a file may not say how many rows it has."""


def owners(table: Stored) -> str:
    """SQL for what leads from a row's `__key` to its unit: `id`, `unit` and the unit's `shard`."""
    if table.parent is None:
        return f"(SELECT id, unit, hash(id) % {SHARDS} AS shard FROM {units.Dictionary.TABLE})"
    _, parent, key = table.parent
    return f"(SELECT {name(key)} AS id, __unit AS unit, __unit % {SHARDS} AS shard FROM main.{name(parent)})"


def placed(table: Stored, rows: str) -> str:
    """SQL for `rows`, which have a `__key`, in the order of their `__shard`. Of a public table they stay as they are,
    and a row without a unit is in no shard."""
    if not table.policy.private:
        return f"SELECT * FROM {rows}"
    if table.parent is None:  # its units have no number yet
        return f"SELECT *, CAST(hash(__key) % {SHARDS} AS USMALLINT) AS __shard FROM {rows} ORDER BY __shard"
    return f"""
        SELECT row_.*, CAST(owner.shard AS USMALLINT) AS __shard
        FROM {rows} row_ LEFT JOIN {owners(table)} owner ON owner.id = row_.__key ORDER BY __shard
        """


def share(bucket: int, buckets: int) -> tuple[int, int]:
    """The first and the last shard of one of so many buckets."""
    return SHARDS * bucket // buckets, SHARDS * (bucket + 1) // buckets - 1
