"""Function apps with durable functions: ``DFApp``, and ``Blueprint`` for its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.durable_functions._typed_activities import with_types
from azure.durable_functions.decorators._callables import (
    client_parameters,
    only_client_parameter,
    renamed_handle,
    with_client,
)
from azure.durable_functions.decorators.metadata import (
    ActivityTrigger,
    DurableClient,
    EntityTrigger,
    OrchestrationTrigger,
)
from azure.durable_functions.entity import Entity
from azure.durable_functions.orchestrator import Orchestrator
from azure.functions import AuthLevel, BindingApi, FunctionRegister, SettingsApi, TriggerApi

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import UnionType

    from azure.durable_functions._replay.annotations import P, T
    from azure.durable_functions.decorators.builders import (
        ActivityBuilder,
        AnyFunction,
        ClientBuilder,
        EntityBuilder,
        EntityCode,
        OrchestratorBuilder,
    )
    from azure.durable_functions.models.DurableOrchestrationContext import DurableOrchestrationContext
    from azure.functions.decorators.function_app import Function, FunctionBuilder


class Blueprint(TriggerApi, BindingApi, SettingsApi):
    """Functions of a part of an app, durable ones among them; an app takes them in with ``register_functions``.

    Has every trigger and binding decorator of ``azure.functions``, and those below.

    Args:
        http_auth_level: what HTTP functions ask of their callers unless they say otherwise.
    """

    def __init__(self, http_auth_level: AuthLevel | str = AuthLevel.FUNCTION) -> None:
        super().__init__(auth_level=http_auth_level)  # type: ignore[no-untyped-call]  # azure.functions has no types here

    if TYPE_CHECKING:

        def function_name(
            self, name: str, setting_extra_fields: dict[str, Any] | None = None
        ) -> Callable[[AnyFunction], AnyFunction]:
            """Name a function. As in ``azure.functions``, where the decorator forgets the function's type."""

    def orchestration_trigger(
        self, context_name: str, orchestration: str | None = None, input_type: type | UnionType | None = None
    ) -> Callable[[Callable[[DurableOrchestrationContext], T]], OrchestratorBuilder[T]]:
        """Make a function an orchestrator.

        Args:
            context_name: name of the parameter that takes the :class:`DurableOrchestrationContext`.
            orchestration: name under which it is started; the function's name if there is none.
            input_type: class that ``context.get_input()`` returns, unless it is told otherwise.

        Returns:
            The decorator. What it returns can be given to ``context.call_sub_orchestrator`` and ``client.start_new``
            in the place of a name.
        """

        def decorate(builder: FunctionBuilder) -> FunctionBuilder:
            user_function = builder._function._func
            handle = Orchestrator.create(user_function)
            handle._df_input_type = input_type  # type: ignore[attr-defined]  # read by the handle when it is called
            builder._function._func = renamed_handle(handle, user_function, context_name)
            return builder.add_trigger(trigger=OrchestrationTrigger(name=context_name, orchestration=orchestration))

        return self._configure_function_builder(decorate)

    def activity_trigger(
        self, input_name: str, activity: str | None = None
    ) -> Callable[[Callable[P, T]], ActivityBuilder[P, T]]:
        """Make a function an activity.

        Annotations of the input and of the result count where they name dataclasses, enumerations, dates and times,
        UUIDs, decimals, or models of pydantic or msgspec: the function gets and returns such objects.

        Args:
            input_name: name of the parameter that takes the input.
            activity: name under which it is called; the function's name if there is none.

        Returns:
            The decorator. What it returns can be given to ``context.call_activity`` in the place of a name.
        """

        def decorate(builder: FunctionBuilder) -> FunctionBuilder:
            builder._function._func = with_types(builder._function._func, input_name)
            return builder.add_trigger(trigger=ActivityTrigger(name=input_name, activity=activity))

        return self._configure_function_builder(decorate)

    def entity_trigger(
        self, context_name: str, entity_name: str | None = None
    ) -> Callable[[EntityCode], EntityBuilder[EntityCode]]:
        """Make a function, or a :class:`DurableEntity` class, an entity.

        Args:
            context_name: name of the parameter that takes the :class:`DurableEntityContext`.
            entity_name: name under which it is addressed; the function's name if there is none.

        Returns:
            The decorator.
        """

        def decorate(builder: FunctionBuilder) -> FunctionBuilder:
            user_function = builder._function._func
            builder._function._func = renamed_handle(Entity.create(user_function), user_function, context_name)
            return builder.add_trigger(trigger=EntityTrigger(name=context_name, entity_name=entity_name))

        return self._configure_function_builder(decorate)

    def durable_client_input(
        self, client_name: str | None = None, task_hub: str | None = None, connection_name: str | None = None
    ) -> Callable[[Callable[P, T]], ClientBuilder[P, T]]:
        """Give a function a durable client.

        An ``async def`` function gets a :class:`DurableOrchestrationClient`. A plain ``def`` function gets a
        :class:`SyncDurableFunctionsClient`, whose methods block, unless the parameter is annotated with another
        client class.

        Args:
            client_name: name of the parameter that takes the client; by default the one that is annotated with a
                client class.
            task_hub: another task hub than the app's.
            connection_name: setting with another storage connection than the app's.

        Returns:
            The decorator.

        Raises:
            ValueError: no name is given, and not exactly one parameter has such an annotation.
        """

        def decorate(builder: FunctionBuilder) -> FunctionBuilder:
            name = client_name or only_client_parameter(builder._function._func)
            return _add_client(builder, name, task_hub, connection_name)

        return self._configure_function_builder(decorate)


def _add_client(
    builder: FunctionBuilder, name: str, task_hub: str | None = None, connection_name: str | None = None
) -> FunctionBuilder:
    builder._function._func = with_client(builder._function._func, name)
    return builder.add_binding(binding=DurableClient(name=name, task_hub=task_hub, connection_name=connection_name))


class DFApp(Blueprint, FunctionRegister):
    """A function app with durable functions, which the Functions worker finds and indexes.

    A parameter without a binding that is annotated with a client class, :class:`DurableOrchestrationClient` or another,
    gets a client as if there were a ``durable_client_input`` for it.

    Args:
        http_auth_level: what HTTP functions ask of their callers unless they say otherwise.
    """

    def get_functions(self) -> list[Function]:
        """Return the functions of the app; called once, by the worker.

        Raises:
            ValueError: a function has no trigger, or two have one name.
        """
        for builder in self._function_builders:
            bound = {binding.name for binding in builder._function._bindings}
            for name in client_parameters(builder._function._func):
                if name not in bound:
                    _add_client(builder, name)
        functions: list[Function] = super().get_functions()
        for function in functions:
            known = getattr(function.get_user_function(), "_df_functions", None)
            if known is not None:
                known.tell(functions)
        return functions
