"""Names of workers: the same after a crash, unique among the living."""

import contextlib

import pytest

from taskhub.host import identity
from taskhub.host.identity import WorkerIdentity
from taskhub.settings import TaskHubSettings


@pytest.fixture
def named(tmp_path, monkeypatch):
    """Return what gives a worker of an app its name, which is let go of at the end of the test."""
    monkeypatch.setattr(identity.tempfile, "gettempdir", lambda: str(tmp_path))
    with contextlib.ExitStack() as living:

        def make():
            worker = WorkerIdentity(tmp_path, "hub")
            living.callback(worker.release)
            return worker

        yield make


def test_a_name_comes_back_and_is_nobody_else_s_meanwhile(named):
    first, second = named(), named()
    first.release()
    third = named()

    assert third.id == first.id != second.id


def test_leases_are_long_only_under_a_name_that_comes_back(named):
    settings = TaskHubSettings()
    first, second = named(), named()

    assert settings.long_lease_rounds
    assert first.settings(settings) == settings
    assert not second.settings(settings).long_lease_rounds


def test_without_locks_no_name_comes_back(named, monkeypatch):
    monkeypatch.setattr(identity, "fcntl", None)

    assert not named().settings(TaskHubSettings()).long_lease_rounds
