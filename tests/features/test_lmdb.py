"""The online store in LMDB: the same law, one writer, keys of any length, and files that are made anew under open eyes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_batch import buy
from test_redis import CASE, law
from test_stream import ALL, DAILY, HOUR, read

from pipelines.core.clock import DAY
from pipelines.features.keyvalue import HEAD, PAGE, Moved
from pipelines.features.lmdb_values import LONGEST, LmdbValues, alone
from pipelines.features.stream import OnlineStore


def in_use(folder):
    with alone(folder) as nobody_else:
        return not nobody_else


LONG = [b"v" * LONGEST + b"%d" % n for n in range(3)]


@settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(log=worlds.histories(), data=st.data())
def test_lmdb_says_what_the_oracle_says(log, data, tmp_path_factory):
    law(OnlineStore(LmdbValues(tmp_path_factory.mktemp("online")), CASE.features), log, data)


def test_a_change_made_on_an_older_head_is_refused(tmp_path):
    values = LmdbValues(tmp_path)
    values.put([(HEAD, b"1"), (b"x", b"old")], on=None)
    with pytest.raises(Moved):
        LmdbValues(tmp_path).put([(HEAD, b"2"), (b"x", b"new")], on=b"0")
    assert values.get([HEAD, b"x", b"none"]) == {HEAD: b"1", b"x": b"old"}


def test_keys_of_any_length_are_told_apart(tmp_path):
    values = LmdbValues(tmp_path)
    values.put([(HEAD, b"1"), *((key, key[-1:]) for key in LONG[:2])], [(LONG[2], b"a")], on=None)
    values.put([(HEAD, b"2"), (LONG[0], None), (b"w", b"")], [(LONG[2], b"b"), (LONG[1], b"+")], on=b"1")
    assert values.get([*LONG, b"w"]) == {LONG[1]: b"1+", LONG[2]: b"ab", b"w": b""}
    assert [key for page in values.scan(LONG[1]) for key, _ in page] == [LONG[1]]
    assert {key for page in values.scan(b"v") for key, _ in page} == {LONG[1], LONG[2]}


def test_a_scan_gives_everything_once(tmp_path):
    values = LmdbValues(tmp_path)
    keys = [b"v%05d" % n for n in range(2 * PAGE + 7)]
    values.put([(HEAD, b"1"), *((key, b"x") for key in keys), (b"w", b"")], on=None)
    assert [key for page in values.scan(b"v") for key, _ in page] == keys


def test_whoever_has_the_old_file_open_goes_on_with_the_new_one(tmp_path):
    one, two = OnlineStore(LmdbValues(tmp_path), DAILY), OnlineStore(LmdbValues(tmp_path), DAILY)
    log = worlds.logged([buy("x", HOUR), buy("y", 2 * HOUR), buy("z", 3 * HOUR)])
    one.apply(log[:1])
    two.values.compact()
    assert [path.name for path in sorted(tmp_path.glob("*.m*"))] == ["2.mdb", "2.mdb-lock"]
    assert read(one, DAILY, 4 * HOUR)["cents_1d"] == 100
    two.values.compact()
    assert one.apply(log[:2]) == 2
    assert two.apply(log) == 3
    assert read(one, DAILY, 4 * HOUR)["cents_1d"] == read(two, DAILY, 4 * HOUR)["cents_1d"] == 300


def test_of_two_who_make_it_anew_the_second_loses_nothing(tmp_path):
    one, two = OnlineStore(LmdbValues(tmp_path), DAILY), OnlineStore(LmdbValues(tmp_path), DAILY)
    one.apply(worlds.logged([buy("x", HOUR)]))
    one.values.compact()
    two.values.compact()
    assert read(two, DAILY, 4 * HOUR)["cents_1d"] == read(one, DAILY, 4 * HOUR)["cents_1d"] == 100


def test_threads_that_find_the_old_file_empty_at_once_leave_the_new_one_whole(tmp_path):
    for _ in range(30):
        values, other = LmdbValues(tmp_path), LmdbValues(tmp_path)
        values.put([(HEAD, b"1"), (b"x", b"kept")], on=values.get([HEAD]).get(HEAD))
        other.compact()
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(values.get, [[HEAD, b"x"]] * 32)) == [{HEAD: b"1", b"x": b"kept"}] * 32


def test_what_a_killed_one_left_in_the_old_file_is_not_written_to(tmp_path, monkeypatch):
    writer, other = LmdbValues(tmp_path), LmdbValues(tmp_path)
    writer.put([(HEAD, b"1"), (b"x", b"old")], on=None)
    with other._tree.begin(write=True) as everything:  # killed when the new file has its name, before the old one is empty
        other._make(everything, 2)
    with pytest.raises(Moved):
        writer.put([(HEAD, b"2")], on=b"1")
    writer.put([(HEAD, b"2"), (b"x", b"new")], on=b"1")
    assert LmdbValues(tmp_path).get([HEAD, b"x"]) == {HEAD: b"2", b"x": b"new"}
    assert other.get([HEAD, b"x"]) == {HEAD: b"2", b"x": b"new"}


def test_a_file_that_was_half_made_anew_is_not_looked_at(tmp_path):
    store = OnlineStore(LmdbValues(tmp_path), DAILY)
    store.apply(worlds.logged([buy("x", HOUR)]))
    (tmp_path / "2.making").write_bytes(b"half a file")
    store.close()
    again = OnlineStore(LmdbValues(tmp_path), DAILY)
    again.values.compact()
    assert read(again, DAILY, 4 * HOUR)["cents_1d"] == 100


def test_a_folder_that_another_process_has_open_is_in_use(tmp_path):
    code = f"""
from pathlib import Path
from pipelines.features.lmdb_values import LmdbValues
values = LmdbValues(Path({str(tmp_path)!r})); print("open", flush=True); input()"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        assert in_use(tmp_path)
        other.communicate("\n")
    assert not in_use(tmp_path)
    values = LmdbValues(tmp_path)
    assert in_use(tmp_path)
    values.close()
    assert not in_use(tmp_path)


def test_state_expires(tmp_path):
    store = OnlineStore(LmdbValues(tmp_path), ALL)
    store.apply(worlds.logged([buy(f"x{n}", n * DAY) for n in range(60)]))
    assert store.expire(60 * DAY, keep=10 * DAY) == 50
    assert read(store, ALL, 60 * DAY) == {"n_ever": 60, "n_7d": 7}
