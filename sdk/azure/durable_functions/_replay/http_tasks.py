"""Durable HTTP calls that go on while the answer is 202."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.durable_functions._replay.actions import CallHttpAction, CreateTimerAction
from azure.durable_functions._replay.http import ACCEPTED, header_of, poll_delay
from azure.durable_functions._replay.tasks import AtomicTask, TaskState, TimerTask, WhenAllTask
from azure.durable_functions.constants import HTTP_ACTION_NAME
from azure.durable_functions.errors import TaskFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from azure.durable_functions._replay.actions import Action
    from azure.durable_functions._replay.http import DurableHttpRequest
    from azure.durable_functions._replay.schema import ReplaySchema
    from azure.durable_functions._replay.tasks import Starter, TaskBase


class PolledHttpTask(WhenAllTask):
    """A request that is followed by others for as long as the answer is 202, each after a timer.

    The official host makes timers and requests by itself, from the one action that it gets; with it only their ids are
    taken here, as their events pass. A task hub gets them as operations of the code.

    Args:
        first: the request, perhaps with retries.
        request: the same.
        pause: between two requests, where the answer names none; the official host knows its own.
        replay_schema: form of the actions.
    """

    __slots__ = ("_answer", "_asked", "_pause", "_request", "_starter")

    def __init__(
        self, first: TaskBase, request: DurableHttpRequest, pause: timedelta, replay_schema: ReplaySchema
    ) -> None:
        self._request = request
        self._asked = request.uri
        self._pause = pause
        self._answer: Any = None
        self._starter: Starter | None = None
        super().__init__([first], replay_schema)
        self.action_repr = first.action_repr

    def _is_over_for_host(self) -> bool:
        return self.is_completed

    def _start(self, starter: Starter) -> Action | None:
        self._started = True
        self._starter = starter
        action = self.children[0]._start(starter)
        self.id = self.children[0].id
        return action

    def _leaf_actions(self) -> Iterable[Action]:
        return (self.action_repr,)

    def try_set_value(self, child: TaskBase) -> None:
        if child.state is TaskState.FAILED:
            self._complete(TaskState.FAILED, child.result, child.is_played)
        elif isinstance(child, TimerTask):
            self._ask_again(child)
        elif isinstance(child.result, dict) and child.result.get("statusCode") == ACCEPTED:
            self._answer = child.result
            now = self._running_starter.now
            wait = poll_delay(child.result, now, self._pause)
            self._follow_with(TimerTask(None, CreateTimerAction(now + wait)))
        else:
            self._complete(TaskState.SUCCEEDED, child.result, child.is_played)

    def _ask_again(self, timer: TaskBase) -> None:
        location = header_of(self._answer, "Location")
        if not location:
            # After the timer, as the official host finds it out.
            error = _nowhere_to_ask(self._asked)
            self._complete(TaskState.FAILED, error, timer.is_played)
            return
        poll = self._request._poll_at(location, self._asked)
        self._asked = poll.uri
        self._follow_with(AtomicTask(None, CallHttpAction(poll)))

    def _follow_with(self, child: TaskBase) -> None:
        child._parents = (self,)
        self.children = [child]
        self._running_starter.retries += 1
        child._start(self._running_starter)

    @property
    def _running_starter(self) -> Starter:
        if self._starter is None:
            raise RuntimeError("The task has a result but was never started.")
        return self._starter


def _nowhere_to_ask(uri: str) -> TaskFailedError:
    parts = urlsplit(uri)
    reason = (
        f"The answer of {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path} was 202 (Accepted) without a "
        "Location header, so that there is nowhere to ask again."
    )
    return TaskFailedError(reason, kind="activity", name=HTTP_ACTION_NAME, reason=reason)
