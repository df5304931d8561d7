"""No two sandboxes share an address, and none lies outside the pool."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hub.networks import Pool


def test_no_two_pairs_share_an_address() -> None:
    pool = Pool.of("10.231.0.0/20")
    networks = [pool.pair(index).inner for index in range(pool.pairs)]
    uplinks = [a for i in range(pool.pairs) for a in (pool.pair(i).vault_uplink, pool.pair(i).gate_uplink)]
    assert len(networks) > 100
    assert all(network.subnet_of(pool.network) and not network.overlaps(pool.uplink) for network in networks)
    assert all(not a.overlaps(b) for a, b in pairwise(networks))
    assert len(set(uplinks)) == len(uplinks)
    assert all(address in pool.uplink and address > pool.services for address in uplinks)
    with pytest.raises(IndexError):
        pool.pair(pool.pairs)


@pytest.mark.parametrize("text", ["10.0.0.0/24", "10.0.0.1/16", "everything"])
def test_a_pool_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        Pool.of(text)
