"""Candidates: where they come from, what is known of them, and that the index never saw what it is asked to find."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.clock import DAY, hours
from pipelines.core.decision import Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted, First, Label, features
from pipelines.core.usecase import Model, UseCase
from pipelines.features import batch
from pipelines.features.candidates import FEATURES, REASONS, RECENT, Index, expand, fit_before, stretches
from pipelines.features.reader import BatchReader
from pipelines.features.sessions import DISTANCE
from pipelines.features.stream import OnlineStore, StreamReader
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.tables import schema

VIEW = CONTRACTS["view_item"]
RANKING = Ranking(k=2, neighbours=3, popular=2)
SESSIONS = [["a", "b", "c"], ["a", "b"], ["a", "a", "d"], ["客", "b"], ["e"]]


def views(sessions=SESSIONS, start=0, step=60_000_000, day=0):
    rows = []
    for n, session in enumerate(sessions):
        for at, item in enumerate(session):
            ts = start + day * DAY + n * 3_600_000_000 + at * step
            rows.append(
                {
                    "id": f"v{day}-{n}-{at}",
                    "ts": ts,
                    "arrived": ts,
                    "offset": None,
                    "session": f"s{day}-{n}",
                    "customer": f"c{n}",
                    "item": item,
                    "trail": session[:at],
                }
            )
    rows.sort(key=lambda row: row["ts"])
    return pa.Table.from_pylist(rows, schema=schema(VIEW))


def index(sessions=SESSIONS, answers=RANKING):
    return fit_before(views(sessions), [DAY], answers)[0]


def asks(*sessions, ts=DAY):
    trails = np.empty(len(sessions), dtype=object)
    trails[:] = [session[:-1] for session in sessions]
    return {"ts": np.full(len(sessions), ts), "item": np.array([s[-1] for s in sessions], dtype=object), "trail": trails}


def one(columns, candidate, ask=0):
    at = np.flatnonzero((columns["ask"] == ask) & (columns["candidate"] == candidate))
    return {name: values[at[0]] for name, values in columns.items()}


def test_candidates_are_the_session_its_neighbours_and_the_popular():
    made = index().expand(asks(["e", "c", "e"]), RANKING)
    assert set(made["candidate"]) == {"e", "c", "a", "b"}
    assert one(made, "e")["reason"] == "seen"
    assert one(made, "a")["reason"] == "popular"
    assert one(index().expand(asks(["a"]), RANKING), "b")["reason"] == "follows"
    wide = Ranking(neighbours=9)
    assert one(index(answers=wide).expand(asks(["a"]), wide), "c")["reason"] == "coview"
    assert set(made["reason"]) <= set(REASONS)


def test_what_is_known_of_a_candidate_is_what_a_person_would_count():
    made = index().expand(asks(["c", "a", "c", "b", "a"]), RANKING)
    a, c = one(made, "a"), one(made, "c")
    assert (a["seen_count"], a["seen_recency"], a["seen_first"], a["seen_length"], a["seen_items"]) == (2, 0, 3, 5, 3)
    assert (c["seen_count"], c["seen_recency"], c["seen_first"]) == (2, 2, 4)
    assert np.isclose(one(made, "b")["item_follows"], 2 / 4)
    assert np.isclose(a["item_popularity"], np.log(4 / 11))
    assert np.isclose(a["item_repeats"], 1 / 4)


def naive_coview(sessions, session, candidate):
    """Two loops: each earlier view of the latest RECENT, what followed it within DISTANCE, by 1/distance, as a share."""

    def weight(source, target):
        return sum(
            1 / (j - i)
            for s in sessions
            for i, x in enumerate(s)
            for j, y in enumerate(s)
            if x == source and (target is None or y == target) and 0 < j - i <= DISTANCE
        )

    latest = session[::-1][:RECENT]
    return sum(
        weight(item, candidate) / weight(item, None) / (1 + back) for back, item in enumerate(latest) if weight(item, None)
    )


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from("abcd客"), min_size=1, max_size=14), min_size=1, max_size=6),
    st.lists(st.sampled_from("abcdz"), min_size=1, max_size=14),
)
def test_co_views_are_what_two_loops_count(sessions, session):
    answers = Ranking(neighbours=50, popular=50)
    made = index(sessions, answers).expand(asks(session), answers)
    assert sorted(set(made["candidate"])) == sorted({*session, *(item for s in sessions for item in s)})
    for n, candidate in enumerate(made["candidate"]):
        assert np.isclose(made["item_coview"][n], naive_coview(sessions, session, candidate), atol=1e-6)
        assert made["seen_count"][n] == session.count(candidate)


def test_an_index_refuses_asks_that_are_older_than_itself():
    with pytest.raises(ShelflifeError, match="fit one before it"):
        index().expand(asks(["a"], ts=DAY - 1), RANKING)


def test_an_index_is_fitted_on_nothing_that_came_at_or_after_its_moment():
    early = views()
    late = views([["a", "z"]] * 50, day=1)
    both = pa.concat_tables([early, late])
    assert fit_before(both, [DAY], RANKING)[0].to_npz() == fit_before(early, [DAY], RANKING)[0].to_npz()
    held_back = late.set_column(1, "ts", pa.array([1] * len(late)))
    assert fit_before(pa.concat_tables([early, held_back]), [DAY], RANKING)[0].to_npz() == index().to_npz()


def test_each_ask_is_expanded_by_the_newest_index_fitted_before_it():
    table = pa.concat_tables([views(), views([["a", "z"]] * 9, day=1)])
    indexes = fit_before(table, stretches(DAY, 3 * DAY, 2), RANKING)
    made = expand(
        indexes, {"ts": np.array([2 * DAY, 2 * DAY - 1]), **{k: v for k, v in asks(["a"], ["a"]).items() if k != "ts"}}, RANKING
    )
    assert made["ask"].tolist() == sorted(made["ask"].tolist())
    assert "z" in made["candidate"][made["ask"] == 0]
    assert "z" not in made["candidate"][made["ask"] == 1]


def test_an_index_comes_back_from_its_bytes_and_what_is_no_index_is_refused():
    again = Index.from_npz(index().to_npz())
    for name, values in index().expand(asks(["a", "b"]), RANKING).items():
        assert np.array_equal(values, again.expand(asks(["a", "b"]), RANKING)[name], equal_nan=values.dtype.kind == "f")
    for data in (b"", b"PK\x03\x04", index().to_npz()[:-30], b"\x80\x04N."):
        with pytest.raises(ShelflifeError, match="wanted a candidate index"):
            Index.from_npz(data)


def test_an_index_of_no_views_still_offers_the_session():
    empty = Index.fit([], [], until=0, answers=RANKING)
    made = empty.expand(asks(["x", "y"]), RANKING)
    assert {"x", "y"} <= set(made["candidate"])


def test_no_asks_give_no_rows_and_all_columns():
    made = index().expand(asks(), RANKING)
    assert all(len(values) == 0 for values in made.values())
    assert {"ask", "candidate", "reason", *FEATURES} == set(made)


CASE = UseCase(
    name="next",
    question="What comes next?",
    asks=VIEW,
    label=Label("view_item", "session", First("item"), hours(1)),
    answers=RANKING,
    features=features(
        counted=(
            Counted("item_views_1d", "view_item", "item", Count(), hours(24), key="candidate"),
            Counted("customer_views_1d", "view_item", "customer", Count(), hours(24)),
        ),
    ),
    models=(Model("dummy", None, "dummy"), Model("baseline", None, "baseline")),
    metrics=("hit_at_20",),
    unit="session",
)  # fmt: skip


def test_rows_of_a_ranking_have_a_row_a_candidate_and_one_hit_where_it_was_found():
    table = pa.concat_tables([views(), views(day=1)])
    rows = batch.rows(CASE, {"view_item": table}, (DAY, 2 * DAY), as_of=3 * DAY, index=index()).to_pylist()
    assert rows == sorted(rows, key=lambda r: (r["ts"], r["ask"], r["candidate"]))
    assert list(rows[0]) == [
        "ask",
        "ts",
        "candidate",
        "customer",
        "item",
        "session",
        *CASE.features.names,
        *FEATURES,
        "label",
        "wanted",
    ]
    first = [r for r in rows if r["ask"] == "v1-0-0"]
    assert {r["wanted"] for r in first} == {"b"}
    assert [r["candidate"] for r in first if r["label"] == 1] == ["b"]
    last = [r for r in rows if r["ask"] == "v1-0-2"]
    assert {(r["wanted"], r["label"]) for r in last} == {(None, None)}


def test_batch_and_stream_know_the_same_of_every_candidate(tmp_path):
    table = pa.concat_tables([views(), views(day=1)])
    events = [
        Event("view_item", r["id"], r["ts"], {n: r[n] for n in ("session", "customer", "item", "trail")}, r["arrived"], n + 1)
        for n, r in enumerate(table.to_pylist())
    ]
    rows = batch.rows(CASE, {"view_item": table}, (DAY, 2 * DAY), as_of=3 * DAY, index=index()).to_pylist()
    store = OnlineStore(tmp_path / "s.db", CASE.features)
    store.apply(events)
    wanted = sorted((e for e in events if e.ts >= DAY), key=lambda e: (e.ts, e.id))
    streamed, offset = StreamReader(store, CASE.features, VIEW, answers=RANKING, index=index()).read(wanted)
    tabled, _ = BatchReader(CASE, {"view_item": table}, as_of=3 * DAY, index=index()).read(wanted)
    store.close()
    assert offset == len(events)
    assert [wanted[n].id for n in streamed["ask"]] == [r["ask"] for r in rows]
    assert streamed["candidate"].tolist() == [r["candidate"] for r in rows]
    for name in (*CASE.features.names, *FEATURES):
        column = np.array([np.nan if r[name] is None else r[name] for r in rows])
        assert np.array_equal(streamed[name], column, equal_nan=True), name
        assert np.array_equal(tabled[name], column, equal_nan=True), name


def test_a_ranking_without_an_index_is_refused():
    with pytest.raises(ShelflifeError, match="wanted an index"):
        batch.rows(CASE, {"view_item": views()}, (0, DAY), as_of=DAY)
