"""The tools around the simulation, each on a mistake that it must show."""

import json

import pytest

from taskhub.model.leases import PartitionManager
from taskhub.simulation.fates import Fate, Fates
from tests.simulation import reached, tool
from tests.simulation.checks import Violation
from tests.simulation.lives import Plan
from tests.simulation.mutants.catalogue import BY_NAME
from tests.simulation.mutants.mutant import Edit, Mutant
from tests.simulation.programs import Start
from tests.simulation.runs import run_seed, run_seeds
from tests.simulation.settings import PLAIN, SHORTCUTS, draw_settings
from tests.simulation.shrink import Shrinker, failing_case, kind_of
from tests.simulation.simulate import Simulation
from tests.simulation.story import tell_run
from tests.simulation.workload import Program

EASY = "second_answers_count"
"""A mutant that any run with second copies shows."""


def failing_seed(name, options):
    with BY_NAME[name].applied():
        return next(seed for seed in range(60) if run_seed(seed, options).failure is not None)


def run_tool(capsys, *arguments):
    status = tool.main(arguments)
    return status, capsys.readouterr().out


# ---- many runs


def test_many_runs_end_with_one_object_that_tells_what_befell_them(capsys):
    status, told = run_tool(capsys, "--seeds", "3", "--start", "5")

    result = json.loads(told.splitlines()[-1])
    assert status == 0
    assert (result["seeds"], result["failed"]) == (3, [])
    assert result["injected"]["kill"] >= 0
    assert result["seeds_per_minute"] > 0


def test_what_never_happens_over_many_runs_is_a_failure(capsys, monkeypatch):
    monkeypatch.setattr(tool, "ENOUGH_SEEDS", 2)
    monkeypatch.setattr(tool, "KINDS", (*tool.KINDS, "earthquake"))

    status, told = run_tool(capsys, "--seeds", "2")

    assert status == 1
    assert "never happened in 2 runs" in told
    assert json.loads(told.splitlines()[-1])["injected"]["earthquake"] == 0


def test_a_failing_seed_is_told_with_how_to_see_it_again(capsys):
    options = {"workers": 2, "shortcuts": "off"}
    seed = failing_seed(EASY, options)
    more = [part for name, value in options.items() for part in (f"--{name}", str(value))]

    status, told = run_tool(capsys, "--mutant", EASY, "--start", str(seed), "--seeds", "1", *more)

    assert status == 1
    assert f"seed {seed} failed; see it with: scripts/simulate --seed {seed} {' '.join(more)} --trace" in told
    assert json.loads(told.splitlines()[-1])["failed"] == [seed]


@pytest.mark.parametrize(("shortcuts", "is_on"), [("on", {True}), ("off", {False}), ("drawn", {True, False})])
def test_shortcuts_are_all_on_or_all_off_or_drawn_one_by_one(shortcuts, is_on):
    hubs = [draw_settings(seed, shortcuts) for seed in range(40)]

    for name in SHORTCUTS:
        assert {settings[name] for settings in hubs} == is_on


def test_the_shrinker_knows_the_plainest_of_all_that_is_drawn():
    assert draw_settings(0).keys() - PLAIN.keys() == {"overridable_running_instances"}


def test_runs_on_several_processes_come_to_the_same():
    def runs(jobs):
        found = run_seeds(range(5), jobs=jobs, options={})
        return sorted((run.seed, run.steps, sorted(run.injected.items())) for run in found)

    assert runs(2) == runs(1)


# ---- the story


def test_a_story_tells_who_did_what_in_virtual_time_and_changes_nothing():
    lines = []

    told = tell_run(7, lines.append, partition_manager=PartitionManager.TABLE)

    plain = Simulation(7, partition_manager=PartitionManager.TABLE).run()
    assert (told.steps, told.seconds) == (plain.steps, plain.seconds)
    text = "\n".join(lines)
    for part in ("puts ExecutionStarted", "commits to the history of i-0: OrchestratorStarted", "writes the lease of"):
        assert part in text
    assert all(float(line.split()[0]) >= 0 for line in lines)


def test_a_story_tells_what_befalls_the_run():
    lines = []

    tell_run(7, lines.append, fates=Fates([Fate("step", 40, "kill", "0", seconds=0.5)]))

    assert any("* kill at step 40: 0, 0.5 s" in line for line in lines)
    assert any("worker-0.1 is killed" in line for line in lines)


# ---- shrinking


def test_a_failing_run_is_made_smaller_and_fails_in_the_same_way():
    hello = Start("hello_sequence", None, [f"Hello {city}!" for city in ("Tokyo", "Seattle", "London")], activities=3)
    workload = {"i-0": hello, "i-1": Start("counter", 0, 3, activities=1), "i-2": hello}
    with BY_NAME["delete_before_commit"].applied():
        cases = (failing_case(seed, faults="default", workload=workload) for seed in range(30, 100))
        case = next(each for each in cases if each is not None and len(each.fates) > 3)
        smallest = Shrinker(case, max_runs=150).shrink()

        assert smallest.size < case.size
        assert len(smallest.workload) < len(workload)
        assert len(smallest.fates) <= 3, "a kill at the right place is enough, or a few faults, of more than a thousand"
        with pytest.raises(Violation) as seen:
            smallest.simulation().run()
        with pytest.raises(Violation):
            exec(smallest.as_test() + "\ntest_shrunk()", names_for_tests())
    assert kind_of(str(seen.value)) == kind_of(case.failure)
    smallest.simulation().run()


def names_for_tests():
    return {each.__name__: each for each in (Fate, Fates, PartitionManager, Plan, Program, Simulation, Start)}


@pytest.mark.parametrize(
    ("one", "other", "are_alike"),
    [
        ("i-0: task 100 was answered twice", "@ledger@b: task 3 was answered twice", True),
        ("never ends: the run came to 7200 s of virtual time", "never ends: every task waits for another one", False),
        ("messages are left: {'q': 3}", "messages are left: {'x': 1, 'y': 2}", True),
        ("messages are left: {'q': 3}", "i-0 was completed twice", False),
    ],
)
def test_failures_are_alike_when_they_differ_in_names_and_numbers_only(one, other, are_alike):
    assert (kind_of(one) == kind_of(other)) == are_alike


def test_a_run_that_does_not_fail_is_no_case():
    assert failing_case(7, faults="default") is None


# ---- coverage


def test_lines_that_runs_reach_are_told_apart_from_others(capsys):
    status = reached.report(range(2), jobs=1, options={})

    told = capsys.readouterr().out
    functions = {function.name: function for function in reached.functions_of(reached.ROOT)}
    assert "runtime.checkpoints:Checkpoints.commit" in functions
    assert "runtime.partitions:Estate.own" not in functions, "a protocol has no lines"
    assert "Checkpoints._put_one: NOT EXPLAINED" not in told
    assert status == 1
    assert "2 seeds reached" in told


def test_an_explanation_counts_for_a_module_and_all_in_it(monkeypatch):
    monkeypatch.setattr(reached, "UNREACHED", {"runtime.transfer": "why", "core.timers:due_of": "because"})

    assert reached.explanation("runtime.transfer:Transfer.load") == "why"
    assert reached.explanation("core.timers:due_of") == "because"
    assert reached.explanation("core.timers:due_of_event") is None
    assert reached.explanation("runtime.transfers:x") is None


# ---- mutants as such


def answer(flag):
    return 1 if flag else 2


class Base:
    def name(self):
        return "base"


class Derived(Base):
    def name(self):
        return super().name() + "!"


def test_a_mutant_is_made_while_its_block_runs():
    known = answer
    mutant = Mutant("m", "", "", (Edit(answer, "return 1 if flag else 2", "return 3"),))

    with mutant.applied():
        assert (answer(True), known(False)) == (3, 3)

    assert (answer(True), known(False)) == (1, 2)


def test_a_mutant_of_a_method_may_use_super_and_several_edits():
    edits = (Edit(Derived.name, "super().name()", "super().name().upper()"), Edit(Derived.name, '"!"', '"?"'))

    with Mutant("m", "", "", edits).applied():
        assert Derived().name() == "BASE?"

    assert Derived().name() == "base!"


@pytest.mark.parametrize("piece", ["return 4", "a"])
def test_a_mutant_whose_code_is_gone_or_unclear_is_refused(piece):
    with pytest.raises(ValueError, match="holds"), Mutant("m", "", "", (Edit(answer, piece, "x"),)).applied():
        pass

    assert answer(True) == 1


def test_a_mutant_is_taken_back_when_a_later_edit_is_refused():
    edits = (Edit(answer, "return 1 if flag else 2", "return 3"), Edit(Derived.name, "not there", ""))

    with pytest.raises(ValueError, match="holds"), Mutant("m", "", "", edits).applied():
        pass

    assert answer(True) == 1
