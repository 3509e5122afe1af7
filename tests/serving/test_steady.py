import pytest

from pipelines.core.errors import ShelflifeError
from pipelines.serving import steady
from pipelines.serving.steady import SteadyClock


class World:
    now, away, reads = 1_000, False, 0

    def __call__(self):
        self.reads += 1
        if self.away:
            raise OSError("the state is away")
        return self.now


@pytest.fixture
def machine(monkeypatch):
    """This machine's monotonic clock, which the test moves."""
    moment = [100.0]
    monkeypatch.setattr(steady.time, "monotonic", lambda: moment[0])
    return moment


def test_the_clock_is_read_a_few_times_a_second(machine):
    world = World()
    clock = SteadyClock(world)
    assert [clock(), clock()] == [1_000, 1_000]
    assert world.reads == 1
    world.now, machine[0] = 5_000, 101.0
    assert clock() == 5_000


def test_a_clock_that_is_away_goes_on_from_its_last_reading(machine):
    world = World()
    clock = SteadyClock(world)
    clock()
    world.away, machine[0] = True, 103.0
    assert clock() == clock.sure() == 1_000 + 3_000_000
    world.away, world.now, machine[0] = False, 2_000, 104.0
    assert clock() == 2_000


def test_a_clock_that_was_never_read_answers_but_tells_the_log_nothing(machine):
    world = World()
    world.away = True
    clock = SteadyClock(world)
    assert clock() > 10**15
    with pytest.raises(ShelflifeError, match="clock"):
        clock.sure()
