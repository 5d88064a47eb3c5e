"""Function apps with durable functions: ``DFApp``, and ``Blueprint`` for its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.retry import RetryOptions
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

    from agents import ModelProvider
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

_MODEL_RETRIES = RetryOptions(first_retry_interval_in_milliseconds=2000, max_number_of_attempts=5)


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

    def durable_openai_agent_orchestrator(
        self,
        _func: Callable[..., Any] | None = None,
        *,
        model_provider: ModelProvider | None = None,
        model_retry_options: RetryOptions | None = _MODEL_RETRIES,
    ) -> Any:
        """Let an orchestrator run agents of the OpenAI Agents SDK; see ``azure.durable_functions.openai_agents``.

        Stands between ``@app.orchestration_trigger`` and the function, with or without arguments. The function, plain
        or a generator, gets a :class:`DurableAIAgentContext`; ``Runner.run_sync`` works in it, and each call of a model
        is an activity, ``run_model``, which the first use adds to the app. What it returns becomes text: a text as it
        is, all else as JSON text.

        Args:
            _func: the function, where there are no arguments.
            model_provider: where the activity gets models from; OpenAI's by default. One for the whole app.
            model_retry_options: how calls of models are tried again when they fail; ``None`` for once.

        Returns:
            The function to put under ``@app.orchestration_trigger``, or the decorator that makes it.

        Raises:
            ImportError: the package ``openai-agents`` is not installed.
            TypeError: ``model_provider`` is none, or the function is ``async def``.
            ValueError: the app has another model provider already.
        """
        from azure.durable_functions.openai_agents import _orchestrator  # says so when the library is missing

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            made = _orchestrator.agent_orchestrator(function, model_retry_options)
            _orchestrator.register_model_activity(self, model_provider)
            return made

        _orchestrator.check_provider(model_provider)
        return decorate if _func is None else decorate(_func)


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
        self._function_builders = _with_one_model_activity(self._function_builders)
        functions: list[Function] = super().get_functions()
        for function in functions:
            known = getattr(function.get_user_function(), "_df_functions", None)
            if known is not None:
                known.tell(functions)
        return functions


def _with_one_model_activity(builders: list[FunctionBuilder]) -> list[FunctionBuilder]:
    """Leave out all model activities of an app's parts but one: each part that runs agents has brought its own."""
    theirs = [builder for builder in builders if hasattr(builder._function._func, "_df_model_provider")]
    providers = {builder: vars(builder._function._func)["_df_model_provider"] for builder in theirs}
    given = [builder for builder in theirs if providers[builder] is not None]
    if any(providers[builder] is not providers[given[0]] for builder in given):
        raise ValueError("The parts of the app have different model providers for their agents; give them all one.")
    kept = (given or theirs)[:1]
    return [builder for builder in builders if builder not in theirs or builder in kept]
