import pytest

from taskhub.core.versioning import VersionRule, compare_versions
from taskhub.model.history import OrchestrationInstance
from taskhub.model.ids import ExecutionId, InstanceId
from taskhub.model.versions import VersionMatch
from tests.support.builders import started


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        (None, None, 0),
        (None, "", 0),
        (" ", None, 0),
        (None, "1.0", -1),
        ("1.0", "", 1),
        ("1.9", "1.10", -1),
        ("2.0", "1.10.5", 1),
        ("1.2", "1.2.0", -1),
        ("1.2.3.4", "1.2.3.4", 0),
        ("1.2.3.4.5", "1.2.3.4.10", 1),
        ("9", "10", 1),
        ("abc", "2.0", 1),
        ("Beta", "beta", 0),
        ("alpha", "BETA", -1),
    ],
)
def test_versions_compare_as_numbers_where_they_are_numbers(one, other, order):
    assert compare_versions(one, other) == order
    assert compare_versions(other, one) == -order


@pytest.mark.parametrize(
    ("match", "app", "accepted", "refused"),
    [
        (VersionMatch.NONE, "2.0", [None, "", "1.9", "2.0", "2.1", "abc"], []),
        (VersionMatch.STRICT, "2.0", ["2.0"], [None, "", "1.9", "2.1", "2.0.0"]),
        (VersionMatch.STRICT, None, [None, ""], ["1.0"]),
        (VersionMatch.CURRENT_OR_OLDER, "2.0", [None, "", "1.9", "2.0"], ["2.1", "abc"]),
        (VersionMatch.CURRENT_OR_OLDER, None, [None, ""], ["1.0", "0.0"]),
    ],
)
def test_each_strategy_takes_its_versions(match, app, accepted, refused):
    rule = VersionRule(app, match)

    assert [rule.accepts(started(version=version)) for version in accepted] == [True] * len(accepted)
    assert [rule.accepts(started(version=version)) for version in refused] == [False] * len(refused)


def test_entities_run_in_every_version():
    entity = started(version="7.0", instance=OrchestrationInstance(InstanceId("@counter@a"), ExecutionId("e1")))

    assert VersionRule("2.0", VersionMatch.STRICT).accepts(entity)
