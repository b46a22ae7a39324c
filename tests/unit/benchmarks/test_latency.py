import math

from benchmarks.scenarios.latency import percentile


def test_a_percentile_is_a_value_that_was_measured() -> None:
    ordered = [*map(float, range(1, 200)), math.inf]

    assert percentile(ordered, 50) == 100
    assert percentile(ordered, 99) == 198
    assert percentile([1.0], 99) == 1
