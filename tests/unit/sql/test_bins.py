from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_guard.sql.bins import EXACT, Bins

INTEGERS = (
    st.integers(-(2**61), 2**61) | st.integers(-5000, 5000) | st.integers(0, 61).map(lambda k: 2**k - 1)
)


@st.composite
def ranges(draw: st.DrawFn) -> Bins:
    lo, hi = sorted((draw(INTEGERS), draw(INTEGERS)))
    return Bins(lo, hi)


@given(ranges(), st.data())
@settings(max_examples=500, deadline=None)
def test_every_value_lies_in_its_own_bin_and_bins_are_in_order(bins: Bins, data: st.DataObject) -> None:
    one = data.draw(st.integers(bins.lo, bins.hi))
    other = data.draw(st.integers(one, bins.hi))
    first, last = bins.edges(bins.index(one))
    assert bins.lo <= first <= one <= last <= bins.hi
    assert 0 <= bins.index(bins.lo) <= bins.index(one) <= bins.index(other) < bins.count
    assert last - first <= max(abs(first), abs(last)) / 1024


@given(ranges(), st.data())
@settings(max_examples=300, deadline=None)
def test_bins_leave_no_gap(bins: Bins, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, bins.count - 1))
    first, last = bins.edges(index)
    assert last == bins.hi if index == bins.count - 1 else bins.edges(index + 1)[0] == last + 1
    assert first == bins.lo if index == 0 else bins.edges(index - 1)[1] == first - 1


@pytest.mark.parametrize(
    "bins", [Bins(-3, 2000), Bins(-(2**61), 2**61), Bins(10**6, 10**12), Bins(-9999, -1)]
)
def test_sql_agrees_where_rounding_would_show(bins: Bins) -> None:
    near = {s * (2**k + d) for k in range(62) for d in (-2, -1, 0, 1, 2) for s in (-1, 1)}
    values = sorted(v for v in near | set(range(-3000, 3000)) | {bins.lo, bins.hi} if bins.lo <= v <= bins.hi)
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t (v BIGINT)")
        con.executemany("INSERT INTO t VALUES (?)", [[v] for v in values])
        found = con.execute(f"SELECT v, {bins.sql('v')} FROM t").fetchall()
    assert len(found) == len(values)
    assert all(index == bins.index(v) for v, index in found)


def test_a_short_range_is_exact() -> None:
    bins = Bins(-5, EXACT - 6)
    assert bins.count == EXACT and all(bins.edges(i) == (i - 5, i - 5) for i in range(EXACT))
