"""A shop that blocks, from the answer to the verdict: what it blocks is never charged back, a few are let pass by lot and logged, and
what is trained and judged weighs by it. The simulator knows what the blocked payments were."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import small_shop

from pipelines.core.clock import DAY, instant
from pipelines.evaluation.metrics import statistics
from pipelines.evaluation.paired import resample
from pipelines.evaluation.statistic import mean_of
from pipelines.features import batch, split
from pipelines.serving import loaded
from pipelines.shop import rows as shop_rows
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.simulator import simulate_days
from pipelines.steps import bundle, released, rows, serve, simulate

pytestmark = pytest.mark.slow
CASE, BEFORE, ACTING = "fraud", 56, 38
SHOP = {"days": BEFORE, "customers": 2000, "items": 60, "sessions_per_day": 20}
SPLIT = {"train": "12d", "valid": "8d", "holdout": "12d"}
LABEL = {"within": "3d", "hidden_by": ["block", "review"], "explore": 0.2, "per_day": 1000, "amount_per_day": 10**9}
"""Who is reviewed waits, and buys elsewhere. So large a share that a small shop can tell within weeks; caps that do not bind."""


@dataclass
class Known:
    """A reader of features that were computed before: what the stream would have read at each ask."""

    table: pa.Table
    offset: int

    def read(self, asks):
        at = {name: i for i, name in enumerate(self.table["ask"].to_pylist())}
        columns = rows.from_arrow(self.table.take([at[ask.id] for ask in asks]))
        return columns, self.offset


class Shop:
    """A simulated shop that does as its champion says: the chargebacks of what it blocks never come."""

    def __init__(self, workspace, home):
        self.workspace, self.home, self.usecase = workspace, home, workspace.case(CASE)
        self.blocked, self.lost, self.told = set(), [], []

    def tables(self, as_of, *, everything=False):
        """The events known by then; `everything`: with the chargebacks that were prevented."""
        known = {kind: self.home.landing.table(kind, as_of) for kind in self.usecase.kinds}
        if everything:
            fields = known["chargeback"].schema.names
            parts = [table.select([n for n in fields if n in table.schema.names]) for table in self.lost]
            known["chargeback"] = pa.concat_tables([known["chargeback"], *parts], promote_options="default")
        return known

    def live(self, days):
        shop, first = self.workspace.params.shop, simulate.day_now(self.workspace, self.home)
        champion = serve.champions(self.home)[CASE]
        for day, tables in simulate_days(shop.simulate, shop.seed, first_day=first, last_day=first + days):
            now = instant(shop.simulate.start) + (day + 1) * DAY
            good = [(kind, self._kept(kind, table)) for kind, table in simulate.check(tables, now)[0]]
            self.home.log.append_tables(good)
            self.home.simulated(now)
            self.home.state.put("simulated_days", str(day + 1))
            self.home.landing.land(self.home.log, CONTRACTS, until=now)
            self._answer(champion, dict(good)["payment"], now)

    def _kept(self, kind, table):
        if kind != "chargeback":
            return table
        prevented = pc.is_in(table["payment_id"], pa.array(sorted(self.blocked), pa.string()))
        self.lost.append(table.filter(prevented))
        return table.filter(pc.invert(prevented))

    def _answer(self, champion, payments, now):
        """The day's payments through the code that serves, each with what was known when it was asked."""
        made = batch.rows(self.usecase, self.tables(now), payments["id"].to_pylist(), as_of=now)
        online = self.home.path / "online"
        online.mkdir(exist_ok=True)
        parts = loaded.Parts(
            open_bundle=lambda name: serve._open_bundle(self.home, name), encoder_from=serve._encoder,
            calibration_from=serve._calibration, make_reader=lambda _: Known(made, self.home.log.last_offset()),
            believe=lambda c: serve.believe(self.home, c),
            explorer=lambda case, answers: serve._explorer(self.workspace, online, case, answers),
        )  # fmt: skip
        asks = [shop_rows.event("payment", row) for row in payments.to_pylist()]
        answered = loaded.load(CASE, champion.bundle, parts).answer(champion, asks, f"day-{now // DAY}", now)
        self.blocked |= {a.ask for a in answered.answers if a.action in LABEL["hidden_by"]}
        self.told += answered.predictions
        self.home.log.append(answered.predictions, arrived=now)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    fraud = {**small_shop.FRAUD, "label": LABEL, "split": SPLIT}
    workspace, home = small_shop.checkout(tmp_path_factory.mktemp("hiding"), small_shop.params(SHOP, {CASE: fraud}))
    simulate.live(workspace, home, BEFORE)
    small_shop.released(workspace, home, CASE)
    found = Shop(workspace, home)
    found.live(ACTING)
    return found


@pytest.fixture(scope="module")
def judged(shop):
    """A learn run of that shop: its worktree and its verdict."""
    return small_shop.learnt(shop.workspace, shop.home, CASE, "two")


def holdout(shop, tree):
    """The holdout's rows as the run has them, and all of its asks with their true labels and as the features were."""
    as_of = shop.home.landing.closed_until()
    span = split.parts(as_of, shop.usecase.label.matures, shop.workspace.params.block(CASE).split).holdout
    seen, truth = (batch.rows(shop.usecase, shop.tables(as_of, everything=e), span, as_of=as_of) for e in (False, True))
    assert seen["ask"].equals(truth["ask"])
    told = seen.set_column(seen.column_names.index("label"), "label", truth["label"])
    return rows.read(tree.rows(CASE), "holdout", tree.root), rows.Rows(rows.from_arrow(told))


def intervals(usecase, part, scores, *, weighted=True):
    """The share of fraud and the metrics with their 95 % bounds, over cards."""
    if not weighted:
        part = rows.Rows({name: values for name, values in part.columns.items() if name != "weight"})
    known = rows.labelled(usecase, part)
    looked = {"share of fraud": mean_of(known.labels, known), **statistics(["average_precision", "log_loss"], known, scores)}
    drawn = resample(looked, known.units, resamples=1000, seed=1)
    bounds = {name: each.interval(0.025) for name, each in drawn.items()}
    return {name: (each.low, each.estimate, each.high) for name, each in bounds.items()}


def test_the_shop_blocks_lets_a_few_pass_by_lot_and_logs_the_chance(shop):
    blocked = [event for event in shop.told if event.body["action"] in LABEL["hidden_by"]]
    explored = [event for event in shop.told if 0 < event.body["propensity"] < 1 and event.body["action"] == "pass"]

    assert len(blocked) > 100
    assert 0.15 < len(explored) / (len(explored) + len(blocked)) < 0.25
    assert {event.body["propensity"] for event in shop.told} == {LABEL["explore"], 1.0}
    charged = set(shop.home.landing.table("chargeback", shop.home.landing.closed_until())["payment_id"].to_pylist())
    assert not charged & shop.blocked
    assert charged & {event.body["ask"] for event in explored}, "whom the lot let pass is charged back like anybody"


def test_what_is_judged_is_right_weighted_and_wrong_unweighted(shop, judged):
    tree, _ = judged
    part, truth = holdout(shop, tree)
    scorer = bundle.open_scorer(shop.home.releases.answering(CASE)[2].files)
    names = bundle.model_columns(shop.usecase)
    scored = {which: scorer.score({name: p[name] for name in names}) for which, p in (("part", part), ("truth", truth))}
    right = intervals(shop.usecase, truth, scored["truth"], weighted=False)
    ours = intervals(shop.usecase, part, scored["part"])
    plain = intervals(shop.usecase, part, scored["part"], weighted=False)
    for name, (_, true, _) in right.items():
        assert ours[name][0] <= true <= ours[name][2], (name, true, ours[name])
        assert not plain[name][0] <= true <= plain[name][2], (name, true, plain[name])


def test_what_is_trained_on_has_the_true_share_of_fraud_and_the_verdict_is_weighed_too(shop, judged):
    tree, verdict = judged
    part = rows.read(tree.rows(CASE), "train", tree.root)

    assert part["weight"].max() == pytest.approx(1 / LABEL["explore"])
    weighed = np.average(part["label"], weights=part["weight"])
    assert part.repeated()["label"].mean() == pytest.approx(weighed)
    assert weighed > 1.3 * part["label"].mean()
    held_out = rows.read(tree.rows(CASE), "holdout", tree.root)
    scorer = bundle.open_scorer(released.read(tree.models(CASE) / "bundle")[1])
    scores = scorer.score({name: held_out[name] for name in bundle.model_columns(shop.usecase)})
    (floor,) = [finding for finding in verdict.findings if finding.name == "floor"]
    assert floor.observed == pytest.approx(rows.measure(shop.usecase, held_out, scores)["average_precision"], abs=1e-4)
