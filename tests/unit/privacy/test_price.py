from __future__ import annotations

import json
import math
import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_guard.errors import Refused
from sandbox_guard.policy.model import DELTA_UNITS, RHO_UNITS
from sandbox_guard.privacy.account import Amount, to_epsilon, total
from sandbox_guard.privacy.mechanism import Gaussian, Laplace
from sandbox_guard.privacy.price import (
    Ask,
    BlockRequest,
    Epsilon,
    Margin,
    PriceRequest,
    Rho,
    Share,
    quote,
    read_ask,
)
from sandbox_guard.sql.plan import Sensitivity

QUERY_DELTA = DELTA_UNITS // 10**7
COUNT = Sensitivity(1, 1, 1, 1)
KEYS = Sensitivity(10, 1, 10, 10)
SUM = Sensitivity(10, 500_000, 5_000_000, 10 * 500_000**2)
NOBODY = Sensitivity(0, 0, 0, 0)


def block(
    *measures: Sensitivity, discovery: Sensitivity | None = None, index: int = 0, population: str = "firms"
) -> BlockRequest:
    return BlockRequest(index, population, (f"data{index}",), measures, discovery)


def request(*blocks: BlockRequest, delta: int = QUERY_DELTA) -> PriceRequest:
    return PriceRequest(blocks, delta)


sensitivities = st.builds(
    lambda l0, linf: Sensitivity(l0, linf, l0 * linf, l0 * linf**2),
    st.integers(1, 100),
    st.integers(1, 10**9),
)
requests = st.builds(
    lambda measures, discovered: request(
        *(
            block(*m, discovery=KEYS if d else None, index=i, population=f"p{i % 2}")
            for i, (m, d) in enumerate(zip(measures, discovered, strict=True))
        )
    ),
    st.lists(st.lists(sensitivities, min_size=1, max_size=4), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
)


@given(requests, st.integers(10_000, RHO_UNITS))
@settings(max_examples=25, deadline=None)
def test_a_quote_is_within_the_ask(asked: PriceRequest, rho: int) -> None:
    offered = quote(asked, Rho(rho))
    assert rho * (1 - 1e-8) - 2 * asked.parts < offered.total.rho <= rho
    assert offered.total.delta <= QUERY_DELTA
    assert bool(offered.total.delta) is bool(asked.discoveries)
    assert total(offered.by_population().values()) == offered.total


@given(requests, st.floats(0.01, 5))
@settings(max_examples=10, deadline=None)
def test_epsilon_is_the_total_with_thresholds(asked: PriceRequest, epsilon: float) -> None:
    offered = quote(asked, Epsilon(epsilon))
    conversion = (QUERY_DELTA - (QUERY_DELTA // 2 if asked.discoveries else 0)) / DELTA_UNITS
    spent = to_epsilon(offered.total.rho, offered.total.delta, conversion * (1 - 1e-15))
    assert spent[0] <= epsilon
    assert spent[1] <= QUERY_DELTA / DELTA_UNITS * (1 + 1e-12)
    assert to_epsilon(offered.total.rho + 2 * asked.parts, 0, conversion)[0] > epsilon * (1 - 1e-8)


@given(st.lists(sensitivities, min_size=1, max_size=6), st.floats(0.01, 10))
@settings(max_examples=25, deadline=None)
def test_pure_is_laplace_of_that_epsilon_in_all(measures: list[Sensitivity], epsilon: float) -> None:
    offered = quote(request(block(*measures)), Epsilon(epsilon, pure=True))
    bought = offered.blocks[0].measures
    assert all(isinstance(m, Laplace) for m in bought)
    spent = sum(Fraction(m.epsilon) for m in bought if isinstance(m, Laplace))
    assert epsilon * (1 - 1e-8) <= spent <= Fraction(epsilon)
    assert offered.total.rho <= math.ceil(epsilon**2 / 2 * RHO_UNITS) + len(measures)
    assert offered.total.delta == 0


def test_pure_cannot_discover() -> None:
    with pytest.raises(Refused, match="ask.pure_discovers"):
        quote(request(block(COUNT, discovery=KEYS)), Epsilon(1.0, pure=True))


def test_no_delta_no_discovery() -> None:
    for ask in (Rho(10**6), Margin({(0, 0): 50})):
        with pytest.raises(Refused, match="ask.no_delta"):
            quote(request(block(COUNT, discovery=KEYS), delta=0), ask)
    with pytest.raises(Refused, match="ask.no_delta"):
        quote(request(block(COUNT), delta=0), Epsilon(1.0))


def test_share_is_of_what_remains() -> None:
    offered = quote(request(block(COUNT)), Share(Fraction(1, 10), 250_000_000))
    assert offered == quote(request(block(COUNT)), Rho(25_000_000))


@pytest.mark.parametrize("width", [1, 50, 12.5, Decimal("199.99"), Fraction(1000, 3)])
def test_a_margin_is_met_at_the_least_cost(width: float | Decimal | Fraction) -> None:
    offered = quote(request(block(KEYS)), Margin({(0, 0): width}))
    (bought,) = offered.blocks[0].measures
    assert isinstance(bought, Gaussian | Laplace)
    assert bought.half_width() <= Fraction(width)
    cheaper = Gaussian.within(KEYS.l2_squared, offered.total.rho - 1)
    assert cheaper.half_width() > Fraction(width)


def test_margins_of_several_measures() -> None:
    asked = request(block(COUNT, SUM, COUNT), block(KEYS, index=1, discovery=KEYS))
    offered = quote(asked, Margin({(0, 0): 20, (0, 1): 10**7}))
    count, summed, other = offered.blocks[0].measures
    assert isinstance(count, Gaussian | Laplace) and isinstance(summed, Gaussian | Laplace)
    assert count.half_width() == 20 and summed.half_width() <= 10**7
    dearest = max(count.cost.rho, summed.cost.rho)
    assert other.cost.rho == dearest
    assert offered.blocks[1].discovery is not None
    assert offered.blocks[1].discovery.cost.rho == dearest


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (Rho(0), "ask.nonsense"),
        (Rho(-5), "ask.nonsense"),
        (Rho(10**17), "ask.too_much"),
        (Rho(1), "ask.too_little"),
        (Epsilon(1e-300), "ask.too_little"),
        (Epsilon(math.inf), "ask.nonsense"),
        (Epsilon(math.nan), "ask.nonsense"),
        (Epsilon(-1.0), "ask.nonsense"),
        (Epsilon(0.0), "ask.nonsense"),
        (Epsilon(1e300), "ask.too_much"),
        (Epsilon(1e-300, pure=True), "ask.too_little"),
        (Epsilon(1e300, pure=True), "ask.too_much"),
        (Epsilon(math.nan, pure=True), "ask.nonsense"),
        (Epsilon(math.inf, pure=True), "ask.nonsense"),
        (Share(Fraction(0), 10**9), "ask.nonsense"),
        (Share(Fraction(11, 10), 10**9), "ask.nonsense"),
        (Share(Fraction(-1, 10), 10**9), "ask.nonsense"),
        (Share(Fraction(1, 10), 0), "ask.too_little"),
        (Share(Fraction(1, 10), -5), "ask.too_little"),
        (Margin({(0, 0): 1e300}), "ask.too_little"),
        (Margin({(0, 0): math.nan}), "ask.nonsense"),
        (Margin({(0, 0): math.inf}), "ask.nonsense"),
        (Margin({(0, 0): -1}), "ask.nonsense"),
    ],
)
def test_nonsense_is_refused_by_name(ask: Ask, code: str) -> None:
    asked = request(block(COUNT, Sensitivity(1, 10**6, 10**6, 10**12)))
    with pytest.raises(Refused) as refused:
        quote(asked, ask)
    assert refused.value.code == code


def test_a_measure_nobody_can_move_is_noisy_all_the_same() -> None:
    offered = quote(request(block(NOBODY, COUNT)), Rho(10**6))
    nobody, count = offered.blocks[0].measures
    assert nobody == count
    assert isinstance(nobody, Gaussian | Laplace)
    assert np.unique(nobody.release(np.zeros(200, dtype=np.int64))).size > 1


def test_a_plan_of_public_blocks_is_free() -> None:
    assert quote(request(), Rho(10**6)).total == Amount(0)


def test_more_buys_less_noise() -> None:
    bought = [quote(request(block(SUM)), Rho(10**n)).blocks[0].measures[0] for n in range(3, 10)]
    widths = [mechanism.half_width() for mechanism in bought if isinstance(mechanism, Gaussian | Laplace)]
    assert len(widths) == 7
    assert widths == sorted(widths, reverse=True)


def test_costs_by_dataset_count_every_block_that_reads_it() -> None:
    one = BlockRequest(0, "firms", ("loans", "tax"), (COUNT,))
    two = BlockRequest(1, "firms", ("tax",), (COUNT,))
    persons = BlockRequest(2, "persons", ("visits",), (COUNT,))
    offered = quote(PriceRequest((one, two, persons), QUERY_DELTA), Rho(3_000_000))
    assert offered.by_dataset("firms") == {"loans": Amount(1_000_000), "tax": Amount(2_000_000)}
    assert offered.by_population() == {"firms": Amount(2_000_000), "persons": Amount(1_000_000)}
    assert offered.by_dataset("persons") == {"visits": Amount(1_000_000)}


def test_a_quote_is_the_same_every_time_and_serialises() -> None:
    asked = request(block(COUNT, SUM, discovery=KEYS))
    one, two = quote(asked, Rho(5_000_000)), quote(asked, Rho(5_000_000))
    assert one == two
    assert json.dumps(one.as_dict(), sort_keys=True) == json.dumps(two.as_dict(), sort_keys=True)
    assert pickle.loads(pickle.dumps(one)) == one
    assert one.as_dict() != quote(asked, Rho(5_000_001)).as_dict()


def test_asks_are_read_as_written() -> None:
    def read(**written: Any) -> Ask:
        return read_ask(**written, remaining=10**9, default=5_000_000)

    assert read() == Rho(5_000_000)
    assert read(rho=0.1) == Rho(100_000_000)
    assert read(rho=Decimal("0.0000000019")) == Rho(1)
    assert read(epsilon=1) == Epsilon(1.0)
    assert read(epsilon=0.5, pure=True) == Epsilon(0.5, pure=True)
    assert read(share=0.1) == Share(Fraction(1, 10), 10**9)
    for several in ({"rho": 1, "share": 0.5}, {"rho": 1, "pure": True}, {"pure": True}):
        with pytest.raises(Refused, match="ask.several"):
            read(**several)
    for nonsense in (math.nan, math.inf, True, 10**400, Decimal("1e999999"), Decimal("NaN")):
        for name in ("rho", "epsilon", "share"):
            with pytest.raises(Refused, match="ask.nonsense"):
                read(**{name: nonsense})


def test_numbers_beyond_floats_take_no_memory() -> None:
    asked = read_ask(epsilon=Decimal("1e-999999999"), remaining=1, default=1)
    with pytest.raises(Refused, match="ask.nonsense"):
        quote(request(block(COUNT)), asked)
    with pytest.raises(Refused, match="ask.nonsense"):
        quote(request(block(COUNT)), Margin({(0, 0): Decimal("1e999999999")}))


@given(sensitivities, st.integers(10_000, 10 * RHO_UNITS))
@settings(max_examples=60, deadline=None)
def test_the_smaller_noise_is_bought(sensitivity: Sensitivity, rho: int) -> None:
    (bought,) = quote(request(block(sensitivity)), Rho(rho)).blocks[0].measures
    both = Gaussian.within(sensitivity.l2_squared, rho), Laplace.within(sensitivity.l1, rho)
    assert isinstance(bought, Gaussian | Laplace)
    assert bought.half_width() == min(noise.half_width() for noise in both)


def test_a_measure_too_large_for_laplace_still_has_gaussian_noise() -> None:
    wide = Sensitivity(2**20, 2**40, 2**60, 2**100)
    (bought,) = quote(request(block(wide)), Rho(10**7)).blocks[0].measures
    assert isinstance(bought, Gaussian)
