"""Runs a function for what a listener found, with everything that its bindings need."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from taskhub.host.client_binding import bound_data
from taskhub.host.invocation import RetryContext
from taskhub.host.invoker import InvocationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from azure.functions.meta import Datum

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.invoker import Invoker
    from taskhub.runtime.clock import Clock

logger = logging.getLogger(__name__)


class Run(Protocol):
    """Runs a function; see :meth:`Runs.run`."""

    async def __call__(
        self,
        plan: CallPlan,
        trigger: Datum,
        *,
        reason: str,
        details: str = "",
        metadata: Mapping[str, Datum] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        """Run it, and return whether it succeeded."""


class Runs:
    """Runs functions and repeats them as their retry policy says.

    Args:
        invoker: runs functions.
        client_payload: makes the text of a durable client binding from its properties.
        clock: for the waits between attempts.
    """

    def __init__(self, invoker: Invoker, client_payload: Callable[[Mapping[str, Any]], str], clock: Clock) -> None:
        self._invoker = invoker
        self._client_payload = client_payload
        self._clock = clock

    async def run(
        self,
        plan: CallPlan,
        trigger: Datum,
        *,
        reason: str,
        details: str = "",
        metadata: Mapping[str, Datum] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        """Run a function once; return whether it succeeded. How it failed stands on the console.

        Args:
            plan: of the function.
            trigger: what it receives.
            reason: for the console.
            details: for the console too, below.
            metadata: of the trigger.
            values: that binding expressions can name besides.
        """
        failure = await self._attempt(plan, trigger, reason, details, metadata, values, RetryContext())
        return failure is None

    async def run_with_retries(self, plan: CallPlan, trigger: Datum, *, reason: str, details: str = "") -> bool:
        """Run a function until it succeeds or its retry policy gives up; return whether it succeeded."""
        policy = plan.function.retry
        retry = RetryContext(0, policy.max_count if policy else 0)
        while True:
            failure = await self._attempt(plan, trigger, reason, details, None, None, retry)
            if failure is None or policy is None or retry.retry_count == policy.max_count:
                return failure is None
            retry = RetryContext(retry.retry_count + 1, policy.max_count, failure)
            wait = policy.wait_seconds(retry.retry_count)
            logger.info("Functions.%s failed and is run again in %.1f s", plan.function.name, wait)
            await self._clock.sleep(wait)

    async def _attempt(
        self,
        plan: CallPlan,
        trigger: Datum,
        reason: str,
        details: str,
        metadata: Mapping[str, Datum] | None,
        values: Mapping[str, Any] | None,
        retry: RetryContext,
    ) -> InvocationFailed | None:
        data = bound_data(plan, trigger, self._client_payload)
        try:
            await self._invoker.invoke(
                plan, data, reason=reason, details=details, metadata=metadata, values=values, retry=retry
            )
        except InvocationFailed as error:
            return error
        return None
