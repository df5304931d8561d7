"""Buckets of shards: each shard is in one of them."""

from __future__ import annotations

import pytest

from sandbox_guard.steward.shards import SHARDS, share


@pytest.mark.parametrize("buckets", [1, 2, 7, 100, SHARDS])
def test_every_shard_is_in_one_bucket(buckets: int) -> None:
    ranges = [share(bucket, buckets) for bucket in range(buckets)]
    assert [shard for first, last in ranges for shard in range(first, last + 1)] == list(range(SHARDS))
