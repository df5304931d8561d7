"""The addresses of sandboxes: one private pool, of which every address is known before anything starts.

    10.231.0.0/16    the pool (SANDBOX_GUARD_SUBNET)
    10.231.0.0/20    the uplink: hub and ledger at .0.1, then two addresses for each pair (vault, gate)
    10.231.16.0/28…  one network for each pair: notebook, vault, gate

Explicit networks of 16 addresses, since Docker's own pools end after about thirty.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

POOL = "10.231.0.0/16"

_UPLINK_BITS = 4
_PAIR_PREFIX = 28


@dataclass(frozen=True)
class Pool:
    network: IPv4Network

    @classmethod
    def of(cls, text: str) -> Pool:
        """Raises ValueError where it is not a network of 2^10 addresses at least."""
        network = IPv4Network(text)
        if network.prefixlen > 22:
            raise ValueError(f"{text}: /22 或更大 / a /22 at least")
        return cls(network)

    @property
    def uplink(self) -> IPv4Network:
        return next(self.network.subnets(prefixlen_diff=_UPLINK_BITS))

    @property
    def services(self) -> IPv4Address:
        """Where hub and ledger listen for vaults and gates: the host's end of the uplink."""
        return self.uplink[1]

    @cached_property
    def pairs(self) -> int:
        """How many pairs there is room for."""
        inner = self.network.num_addresses - self.uplink.num_addresses
        return min(inner >> (32 - _PAIR_PREFIX), (self.uplink.num_addresses - 16) // 2)

    def pair(self, index: int) -> PairAddresses:
        if not 0 <= index < self.pairs:
            raise IndexError(index)
        start = self.uplink.broadcast_address + 1 + (index << (32 - _PAIR_PREFIX))
        first = 10 + 2 * index
        return PairAddresses(IPv4Network((start, _PAIR_PREFIX)), self.uplink[first], self.uplink[first + 1])


@dataclass(frozen=True)
class PairAddresses:
    inner: IPv4Network
    """notebook, vault and gate; the host has no address in it"""
    vault_uplink: IPv4Address
    gate_uplink: IPv4Address

    @property
    def notebook(self) -> IPv4Address:
        return self.inner[2]

    @property
    def vault(self) -> IPv4Address:
        return self.inner[3]

    @property
    def gate(self) -> IPv4Address:
        return self.inner[4]
