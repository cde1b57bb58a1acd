"""Intervals and what overlaps them."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from broker.notify import intervals
from broker.notify.intervals import Intervals
from tests.core.documents import few

numbers = st.integers(-3, 8) | st.sampled_from([float("-inf"), float("inf"), 0.5])
pairs = st.tuples(numbers, numbers)


@few
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | pairs), max_size=40),
    st.lists(pairs, max_size=4),
    st.integers(0, 4),
)
def test_it_finds_exactly_those_that_overlap(
    steps: list[tuple[str, tuple[float, float] | None]], asked: list[tuple[float, float]], tail: int
) -> None:
    """Whatever is put in, put in again and taken out."""
    one, known = Intervals(), dict[str, tuple[float, float]]()
    with patch.object(intervals, "_TAIL", tail):
        for name, ends in steps:
            one.discard(name)
            known.pop(name, None)
            if ends is not None:
                one.add(name, *ends)
                known[name] = ends
            for low, high in asked:
                found = list(one.overlapping(low, high))
                assert sorted(found) == sorted(k for k, v in known.items() if v[0] <= high and v[1] >= low)
            assert len(one) == len(known)
