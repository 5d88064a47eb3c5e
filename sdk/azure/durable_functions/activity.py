"""Activity: what an app with ``function.json`` gives the worker, so that its annotations count."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from azure.durable_functions._typed_activities import with_types

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.durable_functions._replay.annotations import P, T


class Activity:
    """Activities of apps with ``function.json``; the decorators do the same by themselves."""

    @classmethod
    def create(cls, fn: Callable[P, T]) -> Callable[P, T]:
        """Return the function that the worker calls for ``fn``.

        For the ``main`` of an activity's folder::

            def reserve(order: Order) -> Receipt: ...


            main = df.Activity.create(reserve)

        The worker by itself hands over plain JSON and takes nothing else, whatever the annotations say. With this, they
        count as they do under ``@app.activity_trigger``. ``taskhub`` does it for plain functions too.

        Args:
            fn: the activity, plain or ``async def``. Its first parameter takes the input; in ``function.json`` the
                trigger has the same name.

        Returns:
            A function whose attribute ``activity_function`` is ``fn``; ``fn`` itself when its annotations ask for
            nothing that the worker does not do.

        Raises:
            TypeError: ``fn`` takes no input.
        """
        input_name = next(iter(inspect.signature(fn).parameters), None)
        if input_name is None:
            raise TypeError(f"the activity {getattr(fn, '__name__', fn)!r} has no parameter for its input")
        return with_types(fn, input_name)
