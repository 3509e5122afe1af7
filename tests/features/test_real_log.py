"""The real fraud log, a part of it: batch and stream agree on every feature, and the oracle agrees with both."""

import os
from pathlib import Path

import numpy as np
import oracle
import pyarrow.parquet as pq
import pytest
import worlds

from pipelines.core.clock import EVER, days, hours
from pipelines.core.contract import Contract, Field
from pipelines.core.decision import CostMatrix, Probability
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted, Distinct, Label, Max, Mean, Sum, features
from pipelines.core.usecase import Model, UseCase
from pipelines.features import batch
from pipelines.features.stream import OnlineStore, StreamReader
from pipelines.shop.tables import schema

ROOT = Path(__file__).parents[2]
FILE = (
    Path(os.environ.get("SHELFLIFE_DATASETS", ROOT.parent / "shared" / "datasets"))
    / "fraud_handbook_transactions"
    / "transactions.parquet"
)
WEEK = 7 * 86_400_000_000
KEYS = (Field("card", "string", key=True), Field("terminal", "string", key=True), Field("payment_id", "string", key=True))
PAYMENT = Contract("payment", "A card paid.", (*KEYS, Field("cents", "cents")), days(1))
BACK = Contract("chargeback", "It was not theirs.", KEYS, days(1))
CASE = UseCase(
    name="fraud",
    question="Is it a fraud?",
    asks=PAYMENT,
    label=Label("chargeback", "payment_id", Count(), days(8), at_least=1),
    answers=Probability(CostMatrix(missed="cents", wrong_block=1500)),
    features=features(
        given=("cents",),
        counted=(
            Counted("n_1h", "payment", "card", Count(), hours(1)),
            Counted("n_1d", "payment", "card", Count(), days(1)),
            Counted("mean_7d", "payment", "card", Mean("cents"), days(7)),
            Counted("high_30d", "payment", "card", Max("cents"), days(30)),
            Counted("spent_ever", "payment", "card", Sum("cents"), EVER),
            Counted("tills_7d", "payment", "card", Distinct("terminal"), days(7)),
            Counted("till_n_1d", "payment", "terminal", Count(), days(1), delay=days(7)),
            Counted("till_n_30d", "payment", "terminal", Count(), days(30), delay=days(7)),
            Counted("till_frauds_30d", "chargeback", "terminal", Count(), days(30)),
        ),
    ),
    models=(Model("dummy", None, "dummy"), Model("baseline", None, "baseline")),
    metrics=("average_precision",),
    unit="card",
)


def payments(cards=None, terminals=None):
    """Payments (of the first so many cards, all by default); a chargeback a week after each fraud. All that is known arrives at
    once. `terminals`: how many of them there are taken to be."""
    if not FILE.exists():
        pytest.skip(f"no {FILE}; set SHELFLIFE_DATASETS to the folder of public datasets")
    columns = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"]
    table = pq.read_table(FILE, columns=columns).to_pandas()
    table = table if cards is None else table[cards > table.CUSTOMER_ID]
    times = table.TX_DATETIME.astype("datetime64[us]").astype(np.int64).tolist()
    sent = []
    for ts, (number, _, card, till, amount, fraud) in zip(times, table[columns].itertuples(index=False), strict=True):
        place = till if terminals is None else till % terminals
        keys = {"card": f"c{card}", "terminal": f"t{place}", "payment_id": f"p{number}"}
        sent.append((ts, Event("payment", keys["payment_id"], ts, {**keys, "cents": round(amount * 100)})))
        if fraud:
            sent.append((ts + WEEK, Event("chargeback", f"b{number}", ts + WEEK, keys)))
    sent.sort(key=lambda pair: pair[0])
    return [Event(e.kind, e.id, e.ts, e.body, arrived, n + 1) for n, (arrived, e) in enumerate(sent)]


@pytest.fixture(scope="module")
def log():
    """A part of it."""
    return payments(cards=160, terminals=50)


def tables(log):
    import pyarrow as pa

    made = {}
    for contract in (PAYMENT, BACK):
        rows = [e for e in log if e.kind == contract.kind]
        columns = {name: [getattr(e, name) for e in rows] for name in ("id", "ts", "arrived", "offset")}
        columns |= {f.name: [e.body.get(f.name) for e in rows] for f in contract.fields}
        made[contract.kind] = pa.table(columns, schema=schema(contract))
    return made


def test_batch_stream_and_oracle_agree_on_real_payments(log, tmp_path):
    rows = {r["ask"]: r for r in batch.rows(CASE, tables(log), (0, 2**60), as_of=2**60).to_pylist()}
    store = OnlineStore(tmp_path / "s.db", CASE.features)
    reader = StreamReader(store, CASE.features, PAYMENT)
    at, asked = 0, []
    for n in range(40, len(log), 41):
        if log[n].kind == "payment":
            upto = n + 1 + sum(e.arrived == log[n].ts for e in log[n + 1 : n + 50])
            store.apply(log[at:upto])
            at = upto
            columns, offset = reader.read([log[n]])
            asked.append((log[n], offset))
            for name in CASE.features.names:
                assert worlds.same(rows[log[n].id][name], columns[name][0]), f"{name} of {log[n].id}"
    assert len(asked) > 500
    for ask, _ in asked[:: len(asked) // 12]:
        near = [e for e in log if e.body["card"] == ask.body["card"] or e.body["terminal"] == ask.body["terminal"]]
        for feature in CASE.features.counted:
            assert worlds.same(oracle.counted(feature, ask, near), rows[ask.id][feature.name]), feature.name


@pytest.mark.slow
def test_every_feature_of_a_hundred_thousand_of_all_real_payments_is_the_same_in_batch_and_stream(tmp_path):
    """The whole log as a stream. Each sampled payment is read after it and thousands more were applied: neither it nor they count."""
    log = payments()
    assert len(log) > 1_750_000
    asks = [event for event in log[40::16] if event.kind == "payment"]
    made = batch.rows(CASE, tables(log), {ask.id for ask in asks}, as_of=2**60)
    row_of = {name: n for n, name in enumerate(made["ask"].to_pylist())}
    wanted = {name: made[name].to_numpy(zero_copy_only=False) for name in CASE.features.names}
    store = OnlineStore(tmp_path / "s.db", CASE.features)
    reader, compared = StreamReader(store, CASE.features, PAYMENT), 0
    for at in range(0, len(log), 8000):
        store.apply(log[at : at + 8000])
        some = [event for event in log[at : at + 8000] if event.id in row_of and event.kind == "payment"]
        columns, _ = reader.read(some)
        rows = [row_of[event.id] for event in some]
        for name, values in columns.items():
            np.testing.assert_allclose(values, wanted[name][rows], rtol=1e-9, equal_nan=True, err_msg=name)
        compared += len(some)
    assert compared == len(asks) > 100_000
