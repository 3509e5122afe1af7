import numpy as np
import pytest

from pipelines.core.clock import DAY
from pipelines.evaluation.quality import quality
from pipelines.evaluation.windows import windows

NOW = 100 * DAY
LATE = NOW - 7 * DAY
KINDS = {"country": "category", "note": "text"}


def feed(seed=1, rows=8400):
    random = np.random.default_rng(seed)
    ts = np.sort(random.integers(NOW - 49 * DAY, NOW, rows))
    columns = {
        "amount": random.lognormal(8, 0.8, rows), "visits": random.poisson(4, rows) * 1.0,
        "rate": np.where(random.random(rows) < 0.1, np.nan, random.random(rows)),
        "country": random.choice(np.array(["DE", "FR", "US"], object), rows), "note": np.array(["fine"] * rows, object),
    }  # fmt: skip
    return ts, columns


def check(ts, columns, monitor, **options):
    found = quality(columns, KINDS, ts, windows(ts, monitor, NOW), monitor, now=NOW, **options)
    return {f.name.removeprefix("quality: "): f for f in found}


def failing(ts, columns, monitor):
    return {name for name, f in check(ts, columns, monitor).items() if f.status == "fail"}


def broken(seed, column, change):
    """The feed with one column changed in the last week."""
    ts, columns = feed(seed)
    late = ts >= LATE
    columns[column] = np.where(late, change(columns[column], np.random.default_rng(seed)), columns[column])
    return ts, columns


@pytest.mark.parametrize("seed", range(10))
def test_a_sound_feed_has_no_fault(seed, monitor):
    found = check(*feed(seed), monitor)
    assert {f.status for f in found.values()} == {"pass"}, found


@pytest.mark.parametrize("factor", [100, 1000, 10, 0.01])
def test_a_change_of_unit_is_found_and_named(factor, monitor):
    ts, columns = broken(1, "amount", lambda c, r: c * factor)
    finding = check(ts, columns, monitor)["unit change"]
    assert finding.status == "fail"
    assert finding.advice.startswith("amount: ")
    assert f"{'multiplied' if factor > 1 else 'divided'} by {max(factor, 1 / factor):g}" in finding.advice


def test_a_change_of_unit_in_one_feed_of_several_is_found(monitor):
    ts, columns = broken(1, "amount", lambda c, r: np.where(r.random(len(c)) < 0.2, c * 100, c))
    assert "unit change" in failing(ts, columns, monitor)


@pytest.mark.parametrize("seed", range(5))
def test_a_change_of_unit_in_a_fiftieth_of_the_rows_is_found(seed, monitor):
    ts, columns = broken(seed, "amount", lambda c, r: np.where(r.random(len(c)) < 0.02, c * 100, c))
    assert "% of the values look multiplied by 100" in check(ts, columns, monitor)["unit change"].advice


@pytest.mark.parametrize("growth", [1.2, 2.0, 3.0])
def test_mere_growth_is_no_change_of_unit(growth, monitor):
    assert "unit change" not in failing(*broken(1, "amount", lambda c, r: c * growth), monitor)
    assert "unit change" not in failing(*broken(1, "visits", lambda c, r: c * growth), monitor)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_jump_of_nulls_is_found(share, monitor):
    ts, columns = broken(2, "rate", lambda c, r: np.where(r.random(len(c)) < share, np.nan, c))
    assert check(ts, columns, monitor)["null share"].status == "fail"


def test_usual_nulls_are_no_fault(monitor):
    assert "null share" not in failing(*feed(3), monitor)


def test_an_infinite_number_is_a_fault(monitor):
    ts, columns = feed()
    columns["amount"][-1] = np.inf
    assert failing(ts, columns, monitor) == {"infinite"}


def test_a_column_that_stands_still_is_a_fault(monitor):
    assert "constant" in failing(*broken(1, "visits", lambda c, r: c * 0 + 3), monitor)


def test_known_categories_spelt_otherwise_are_a_fault_and_a_new_country_is_not(monitor):
    lower = broken(1, "country", lambda c, r: np.array([v.lower() for v in c], object))
    new = broken(1, "country", lambda c, r: np.where(r.random(len(c)) < 0.2, "IT", c))
    renamed = broken(1, "country", lambda c, r: np.array(["country-" + v for v in c], object))
    assert "spelling" in failing(*lower, monitor)
    assert "spelling" not in failing(*new, monitor)
    assert "spelling" in failing(*renamed, monitor)


@pytest.mark.parametrize(("keep", "status"), [(0.0, "fail"), (0.2, "fail"), (0.6, "pass"), (1.0, "pass")])
def test_missing_rows_are_a_fault_of_volume(keep, status, monitor):
    ts, columns = feed(rows=16_800)
    kept = (ts < LATE) | (np.random.default_rng(1).random(len(ts)) < keep)
    found = check(ts[kept], {name: column[kept] for name, column in columns.items()}, monitor)
    assert found["volume"].status == status


def test_a_promotion_week_is_no_fault_and_a_flood_is(monitor):
    def flooded(times):
        ts, columns = feed()
        rows = np.r_[np.flatnonzero(ts < LATE), np.repeat(np.flatnonzero(ts >= LATE), times)]
        return failing(ts[rows], {name: column[rows] for name, column in columns.items()}, monitor)

    assert flooded(2) == set()
    assert flooded(5) == {"volume"}


def test_a_feed_that_stopped_is_stale(monitor):
    ts, columns = feed()
    old = ts < NOW - 2 * DAY
    found = check(ts[old], {name: column[old] for name, column in columns.items()}, monitor, freshness_us=DAY)
    assert found["freshness"].status == "fail"


def test_nothing_at_all_is_a_fault_and_never_quiet(monitor):
    found = check(np.array([], np.int64), {"amount": np.array([])}, monitor)
    assert (found["volume"].status, found["freshness"].status) == ("fail", "fail")
    assert found["null share"].status == "unsure"


def test_one_row_is_no_answer(monitor):
    found = check(np.array([NOW - 1]), {"amount": np.array([5.0])}, monitor)
    assert not {f.status for f in found.values()} <= {"pass"}
    assert found["unit change"].status == "unsure"


def test_a_count_that_is_nearly_always_one_has_a_unit_too(monitor):
    ts, columns = feed()
    pieces = np.random.default_rng(1).choice([1.0, 2.0, 3.0], len(ts), p=[0.85, 0.12, 0.03])
    for times, found in ((1, set()), (10, {"unit change"})):
        columns["pieces"] = np.where(ts >= LATE, pieces * times, pieces)
        assert failing(ts, columns, monitor) == found
