"""Tests of apps under many seeds: what is found, how it is shown, and that sound code passes."""

import subprocess
import sys
from datetime import timedelta

import azure.durable_functions as df
import pytest
from azure.durable_functions.testing import DurableWorld, DurableWorldError

app = df.DFApp()
effects = []


@app.orchestration_trigger(context_name="context")
def transfer(context: df.DurableOrchestrationContext):
    taken = yield context.call_activity("take", 5)
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
    given = yield context.call_activity("give", 5)
    approved = yield context.wait_for_external_event("ok")
    return [taken, given, approved]


@app.activity_trigger(input_name="amount")
def take(amount: int) -> int:
    effects.append(amount)
    return amount


@app.activity_trigger(input_name="amount")
def give(amount: int) -> int:
    return amount


@app.orchestration_trigger(context_name="context")
def fanning(context: df.DurableOrchestrationContext):
    numbers = yield context.task_all([context.call_activity("give", n) for n in range(5)])
    context.signal_entity(df.EntityId("Sum", "all"), "add", sum(numbers))
    return (yield context.call_entity(df.EntityId("Sum", "all"), "get"))


@app.entity_trigger(context_name="context", entity_name="Sum")
def keep(context: df.DurableEntityContext) -> None:
    total = context.get_state(lambda: 0)
    if context.operation_name == "add":
        total += context.get_input()
        context.set_state(total)
    context.set_result(total)


def transferred(world):
    effects.clear()
    instance = world.start("transfer")
    world.skip(minutes=1)
    instance.raise_event("ok", True, as_posted=True)
    assert instance.completed == [5, 5, True]
    assert len(world.calls("take")) == len(world.calls("give")) == 1


@pytest.fixture
def world(durable_world):
    return durable_world.app(app)


@pytest.mark.durable(seeds=15, delays=True)
def test_sound_code_passes_whatever_befalls_it(world):
    transferred(world)
    assert world.start("fanning").completed == 10


def explored(scenario, capsys, **options):
    with DurableWorld() as world:
        world.app(app)
        with pytest.raises(AssertionError) as caught:
            world.explore(lambda: scenario(world), **options)
    return capsys.readouterr().out, caught.value


def counts_effects(world):
    transferred(world)
    assert effects == [5], f"money was taken {len(effects)} times"


def test_an_activity_that_is_not_idempotent_is_found_and_its_seed_made_small(capsys):
    report, error = explored(counts_effects, capsys, seeds=60, duplicates=False, reordering=False)

    assert "money was taken 2 times" in str(error)
    assert "To run it alone: explore(…, seeds=1, first_seed=" in report
    assert "1 thing will do:\n  worker-" in report
    assert "is killed at step" in report
    assert report.count("activity 'take' returns 5") == 2


def test_a_seed_fails_again_in_the_same_way(capsys):
    first, _ = explored(counts_effects, capsys, seeds=60, duplicates=False)
    seed = int(first.split("Seed ")[1].split()[0])

    second, _ = explored(counts_effects, capsys, seeds=1, first_seed=seed, duplicates=False)

    assert first.partition("will do:")[2] == second.partition("will do:")[2] != ""


def test_what_fails_in_a_calm_world_is_no_matter_of_seeds(capsys):
    def wrong(world):
        assert world.start("fanning").completed == 11

    report, _ = explored(wrong, capsys)

    assert report == ""


def test_what_was_started_before_is_refused():
    with DurableWorld() as world:
        world.app(app).start("fanning")
        with pytest.raises(DurableWorldError, match="do it in the test"):
            world.explore(lambda: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"kills": False, "duplicates": False, "reordering": False}, "nothing may befall the world"),
    ],
)
def test_an_exploration_of_nothing_is_refused(options, message):
    with DurableWorld() as world, pytest.raises(DurableWorldError, match=message):
        world.app(app).explore(lambda: None, **options)


TEST_FILE = """
import pytest
import azure.durable_functions as df

app = df.DFApp()
taken = []

@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("take"))

@app.activity_trigger(input_name="nothing")
def take(nothing) -> int:
    taken.append(1)
    return len(taken)

@pytest.fixture
def world(durable_world):
    return durable_world.app(app)

@pytest.mark.durable(seeds=40, duplicates=False)
def test_flow(world):
    taken.clear()
    assert world.start("flow").completed == 1

@pytest.mark.durable
def test_without_a_world():
    pass

@pytest.mark.durable(seed=3)
def test_with_an_unknown_option(world):
    pass
"""


def run_pytest(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:asyncio", "--tb=short", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_pytest_shows_the_seed_and_how_to_run_it_alone(tmp_path):
    (tmp_path / "test_it.py").write_text(TEST_FILE)

    shown = run_pytest(tmp_path)

    assert "3 failed" in shown
    assert " Captured durable world call " in shown
    assert "assert 2 == 1" in shown
    assert "a test that is marked durable needs the fixture durable_world" in shown
    assert "@pytest.mark.durable: got an unexpected keyword argument 'seed'" in shown
    (command,) = [line.partition("pytest ")[2] for line in shown.splitlines() if "To run it alone" in line]
    assert "1 failed" in run_pytest(tmp_path, *command.replace("'", "").split())
