"""Splits by time, with the label's delay between the parts."""

import numpy as np
import pytest

from pipelines.core.clock import DAY, days
from pipelines.core.errors import NotDecidable
from pipelines.core.params import Split
from pipelines.features.split import parts, sampled

SPLIT = Split(train=days(56), valid=days(10), holdout=days(10))


def test_every_label_of_a_part_is_mature_before_the_next_part_begins():
    made = parts(140 * DAY, days(5), SPLIT)
    assert made.holdout == (125 * DAY, 135 * DAY)
    assert made.valid == (110 * DAY, 120 * DAY)
    assert made.train == (49 * DAY, 105 * DAY)
    assert made.train[1] + 5 * DAY <= made.valid[0]
    assert made.valid[1] + 5 * DAY <= made.holdout[0]
    assert made.holdout[1] + 5 * DAY <= 140 * DAY


def test_an_ask_in_a_gap_belongs_to_no_part():
    made = parts(140 * DAY, days(5), SPLIT)
    names = made.name_of(np.array([48, 49, 104, 105, 109, 110, 121, 125, 134, 135]) * DAY)
    assert names.tolist() == [None, "train", "train", None, None, "valid", None, "holdout", "holdout", None]


def test_a_history_that_would_begin_before_time_itself_cannot_be_split():
    with pytest.raises(NotDecidable, match="shorten train"):
        parts(50 * DAY, days(5), SPLIT)


def test_sampling_keeps_whole_units_and_about_the_share_that_was_asked():
    units = [f"c{n % 2000}" for n in range(6000)]
    kept = sampled(units, 0.3)
    assert 0.25 < kept.mean() < 0.35
    assert (
        len(
            {unit for unit, k in zip(units, kept, strict=True) if k}
            & {unit for unit, k in zip(units, kept, strict=True) if not k}
        )
        == 0
    )
    assert sampled(units, 1.0).all()
    assert not sampled(units, 0.0).any()
