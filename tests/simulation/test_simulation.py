import asyncio
import contextlib
from collections import Counter

import pytest

from taskhub.runtime.nursery import Nursery
from taskhub.simulation.fates import Fate, Fates
from taskhub.simulation.world import World
from taskhub.storage.faults import FAULTS
from tests.simulation.checks import Violation
from tests.simulation.programs import Start
from tests.simulation.simulate import KINDS, Simulation, simulate

SEEDS = 300
PARTS = 4


@contextlib.contextmanager
def naming(run):
    """Say which run a violation was seen in."""
    try:
        yield
    except Exception as error:
        raise Violation(run) from error


@pytest.mark.parametrize("part", range(PARTS))
def test_a_hub_whose_workers_die_and_come_back_loses_and_doubles_nothing(part):
    injected = Counter()
    for seed in range(part, SEEDS, PARTS):
        with naming(f"seed {seed}; replay it with: python -m tests.simulation --seed {seed} --trace"):
            injected += simulate(seed).injected

    assert [kind for kind in KINDS if not injected[kind]] == []


def test_the_runs_kill_workers_in_the_middle_of_work():
    reports = [simulate(seed) for seed in range(20)]

    assert sum(report.kills for report in reports) >= 10
    assert sum(report.restarts for report in reports) >= 10


@pytest.mark.parametrize("faults", ["default", "heavy"])
def test_one_seed_is_one_run_to_the_byte(faults):
    first, second = simulate(11, faults=faults), simulate(11, faults=faults)

    assert first.digest == second.digest
    assert first.told == second.told
    assert first == second


@pytest.mark.parametrize("seed", [3, 11])
def test_what_befell_a_run_given_as_a_list_makes_the_same_run(seed):
    drawn = Simulation(seed)
    first = drawn.run()

    again = Simulation(seed, fates=Fates(drawn.fates.happened)).run()

    assert drawn.fates.happened
    assert again == first


def test_only_some_of_what_is_drawn_may_happen():
    seed = next(seed for seed in range(20) if simulate(seed).injected["kill"] > 1)

    few = Simulation(seed, fates=Fates(kinds={"kill"}, most=1)).run()

    assert few.injected["kill"] == 1
    assert not any(few.injected[kind] for kind in (*FAULTS, "pause", "move"))


def test_a_world_that_ends_while_a_process_stands_still_ends_its_tasks_too():
    world, ended = World(), []
    process = world.process("worker")

    async def child():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("child")

    async def parent():
        async with Nursery(process.spawn) as nursery:
            nursery.start(child(), name="child")
        ended.append("parent")

    async def main():
        process.spawn(parent(), name="parent")
        await asyncio.sleep(1)
        process.pause()
        raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"):
        world.run(main())

    assert ended == ["child"]


HELLO = Start("hello_sequence", None, [f"Hello {city}!" for city in ("Tokyo", "Seattle", "London")], activities=3)
FAMILY = Start("provision", ["a", "bb"], [["Hello a!", 1], ["Hello bb!", 4]], activities=4)
AGAIN = Start("counter", 0, 3, activities=1)
BOOKS = Start("keep_books", [4, ["a", "b"]], 4, entries=4)
BOOKS_AGAIN = Start("keep_books_for_ever", [0, 3, ["a"]], 3, entries=3, in_order=False)
MONEY = Start("move_money_once_more", ["x", "y", 5], 5, moves=("x", "y", 5))


@pytest.mark.parametrize("start", [HELLO, FAMILY, AGAIN, BOOKS, BOOKS_AGAIN, MONEY], ids=lambda start: start.name)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "classic"])
def test_the_only_worker_may_die_at_any_step(start, warm):
    """Kill it at one step in six, or of 60, of the run that it makes undisturbed; another one takes over."""
    settings = {"warm_sessions": warm, "partition_count": 1, "max_polling_interval_seconds": 0.5}
    whole = Simulation(0, workload={"i": start}, workers=1, fates=Fates([]), **settings).run()

    for step in range(1, whole.steps, max(6, whole.steps // 60)):
        with naming(f"killed at step {step} of {whole.steps}"):
            killed = Fates([Fate("step", step, "kill", "0", seconds=0.5)])
            Simulation(0, workload={"i": start}, workers=1, fates=killed, **settings).run()
