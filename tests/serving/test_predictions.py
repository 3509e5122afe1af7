import os

import pytest
from little_shop import NOW

from pipelines.core.event import Event
from pipelines.serving import predictions
from pipelines.serving.predictions import Predictions


class Log:
    def __init__(self):
        self.events, self.away = [], False

    def __call__(self, events):
        if self.away:
            raise OSError("the log is away")
        self.events += events


def event(n):
    return Event("prediction", f"r.{n}", NOW + n, {"score": 0.5, "answer": "é", "reasons": []})


@pytest.fixture
def log():
    return Log()


def test_what_was_recorded_reaches_the_log_as_it_was(tmp_path, log):
    told = Predictions(tmp_path, log)
    assert told.record([event(1), event(2)])
    assert told.record([event(3)])
    assert told.move() == 3
    assert log.events == [event(1), event(2), event(3)]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_recorded_is_moved_by_the_next(tmp_path, log):
    child = os.fork()
    if not child:
        Predictions(tmp_path, log).record([event(1)])
        os._exit(9)
    os.waitpid(child, 0)
    assert Predictions(tmp_path, log).move() == 1
    assert log.events == [event(1)]


def test_a_log_that_is_away_loses_nothing(tmp_path, log):
    told = Predictions(tmp_path, log)
    told.record([event(1)])
    log.away = True
    with pytest.raises(OSError, match="away"):
        told.move()
    told.record([event(2)])
    log.away = False
    assert told.move() == 2
    assert log.events == [event(1), event(2)]


def test_a_file_that_another_server_writes_to_is_left_to_it(tmp_path, log):
    writing, other = Predictions(tmp_path, log), Predictions(tmp_path, Log())
    writing.record([event(1)])
    assert other.move() == 0
    writing.record([event(2)])
    assert writing.move() == 2


def test_a_line_that_a_full_disk_cut_short_spoils_no_other(tmp_path, log, monkeypatch):
    told = Predictions(tmp_path, log)
    real = os.write
    told.record([event(1)])
    monkeypatch.setattr(predictions.os, "write", lambda file, data: real(file, data[:5]) if len(data) > 5 else real(file, data))
    assert not told.record([event(2)])
    assert told.troubles == ("spool",)
    monkeypatch.undo()
    assert told.record([event(3)])
    assert told.troubles == ()
    told.move()
    assert {found.id for found in log.events} == {"r.1", "r.2", "r.3"}


def test_a_disk_that_takes_nothing_costs_no_answer(tmp_path, log, monkeypatch):
    told = Predictions(tmp_path, log)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(predictions.os, "open", full)
    assert not told.record([event(1)])
    monkeypatch.undo()
    assert told.move() == 1


def test_the_thread_moves_what_there_is_and_says_when_it_cannot(tmp_path, log):
    told = Predictions(tmp_path, log)
    log.away = True
    told.record([event(1)])
    told.start()
    told.stop()
    assert told.troubles == ("log",)
    log.away = False
    again = Predictions(tmp_path, log)
    again.start()
    again.stop()
    assert (log.events, again.troubles) == ([event(1)], ())


def test_the_log_gets_many_at_a_time(tmp_path, monkeypatch):
    sizes = []
    told = Predictions(tmp_path, lambda events: sizes.append(len(events)))
    told.record([event(n) for n in range(predictions.MOVED + 1)])
    told.move()
    assert sizes == [predictions.MOVED, 1]
