"""A small, capped, logged share of what would be blocked is let pass; the lot, the caps and the log are what learning relies on."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.core.clock import DAY
from pipelines.core.decision import CostMatrix
from pipelines.core.event import Event
from pipelines.serving.answers import Advice, Order
from pipelines.serving.explore import Explorer, lot

COST = CostMatrix(missed="amount_cents", review=300, wrong_block=1500)


@pytest.fixture
def explorer(tmp_path):
    def make(share=0.1, per_day=10_000, amount_per_day=10**9):
        return Explorer(COST, ("block",), share, per_day, amount_per_day, tmp_path / "explored.json")

    return make


def asked(name, action="block", amount=1000):
    return Event("payment", f"p{name}", 1, {"amount_cents": amount}), Advice(f"p{name}", f"r{name}.0", 0.9, action, {})


def tried(explorer, names, now=5 * DAY, **of):
    return [explorer.tried(*asked(name, **of), now) for name in names]


def test_about_the_share_of_what_would_be_blocked_passes_and_each_tells_its_chance(explorer):
    found = tried(explorer(), range(1000))
    passed = [answer for answer, _ in found if answer.action == "pass"]
    assert 70 < len(passed) < 130
    assert {chance for _, chance in found} == {0.1}


def test_the_same_request_has_the_same_lot(explorer, tmp_path):
    first = [answer.action for answer, _ in tried(explorer(), range(200))]
    (tmp_path / "explored.json").unlink()
    assert [answer.action for answer, _ in tried(explorer(), range(200))] == first
    assert 0 <= min(map(lot, "abc")) < max(map(lot, "abc")) < 1


def test_what_passes_anyway_is_seen_for_sure_and_costs_no_lot(explorer):
    assert {chance for _, chance in tried(explorer(), range(50), action="pass")} == {1.0}
    assert not explorer().kept.exists()


def test_an_answer_that_is_no_action_has_no_chance(explorer):
    order = Order("p1", "r1.0", {}, 3)
    assert explorer().tried(asked(1)[0], order, 1) == (order, None)


def test_the_days_caps_bound_count_and_money_and_what_comes_after_has_no_chance(explorer):
    by_count = tried(explorer(share=1.0, per_day=3), range(10))
    assert [answer.action for answer, _ in by_count] == ["pass"] * 3 + ["block"] * 7
    assert [chance for _, chance in by_count] == [1.0] * 3 + [0.0] * 7
    assert tried(explorer(share=1.0, per_day=3), [11], now=6 * DAY)[0][0].action == "pass", "a new day has its own caps"
    by_money = tried(explorer(share=1.0, amount_per_day=2_500), range(20, 24), now=9 * DAY)
    assert [answer.action for answer, _ in by_money] == ["pass", "pass", "block", "block"]


def test_servers_of_one_home_share_the_caps(explorer):
    servers = [explorer(share=1.0, per_day=20) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: servers[n % 8].tried(*asked(n), 5 * DAY), range(200)))
    assert sum(answer.action == "pass" for answer, _ in found) == 20


@pytest.mark.parametrize("spoilt", [b"{", b"[]", b'{"day": 99, "count": 0, "amount": 0}', b"\x00" * 50])
def test_where_the_days_spending_is_not_known_nothing_is_explored(explorer, tmp_path, spoilt):
    (tmp_path / "explored.json").write_bytes(spoilt)
    assert tried(explorer(share=1.0), [1]) == [(asked(1)[1], 0.0)]


def test_where_the_file_cannot_be_written_nothing_is_explored(explorer, tmp_path):
    (tmp_path / "explored.json").mkdir()
    assert tried(explorer(share=1.0), [1]) == [(asked(1)[1], 0.0)]
