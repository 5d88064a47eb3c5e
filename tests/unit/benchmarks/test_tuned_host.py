"""Hosts with settings that ``host.json`` does not have."""

from benchmarks.hosts import APP
from benchmarks.tuned_host import with_settings
from taskhub.host.configuration import load_configuration
from taskhub.settings import CLASSIC


def test_settings_are_changed_and_the_others_stay():
    tuned = with_settings(load_configuration, dict(CLASSIC))(APP, {}).durable.hub

    plain = load_configuration(APP, {}).durable.hub
    assert {name: getattr(tuned, name) for name in CLASSIC} == CLASSIC
    assert {name: getattr(plain, name) for name in CLASSIC} != CLASSIC
    assert tuned.hub_name == plain.hub_name == "Benchmark"
