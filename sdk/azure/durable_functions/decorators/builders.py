"""What the decorators make of functions, to type checkers.

In truth every decorator gives a ``FunctionBuilder`` of ``azure.functions``, whose methods say nothing of the function
that it was built from. The classes below do: how it is called, what ``context.call_activity`` gives for it, and what
tests of apps find in it::

    orchestrate = my_orchestrator.build().get_user_function().orchestrator_function

No objects of them are made, and apps never load this module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from azure.durable_functions._replay.annotations import P
from azure.durable_functions._replay.functions import ActivityFunction, OrchestratorFunction
from azure.durable_functions._replay.typevars import R_co
from azure.durable_functions.models.DurableEntity import DurableEntity
from azure.durable_functions.models.DurableEntityContext import DurableEntityContext
from azure.functions.decorators.function_app import Function, FunctionBuilder

if TYPE_CHECKING:
    from azure.durable_functions._replay.context import DurableOrchestrationContext
    from azure.functions import AuthLevel

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
EntityCode = TypeVar("EntityCode", bound=Callable[[DurableEntityContext], Any] | type[DurableEntity])
Handle_co = TypeVar("Handle_co", bound=Callable[..., Any], covariant=True)
Entity_co = TypeVar("Entity_co", covariant=True)


class OrchestratorHandle(Protocol[R_co]):
    """What the worker calls for an orchestrator."""

    def __call__(self, context: Any) -> str:
        """Replay an instance: the host's JSON in, the orchestrator's state as JSON out."""

    @property
    def orchestrator_function(self) -> Callable[[DurableOrchestrationContext], R_co]:
        """The user's function."""


class EntityHandle(Protocol[Entity_co]):
    """What the worker calls for an entity."""

    def __call__(self, context: Any) -> str:
        """Perform a batch of operations: the host's JSON in, results and state as JSON out."""

    @property
    def entity_function(self) -> Entity_co:
        """The user's function, or class."""


class ClientHandle(Protocol[P, R_co]):
    """What the worker calls for a function with a durable client."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the user's function, with a client made of the binding's text."""

    @property
    def client_function(self) -> Callable[P, R_co]:
        """The user's function."""


class BuiltFunction(Function, Generic[Handle_co]):
    """A function as the worker gets it."""

    if TYPE_CHECKING:

        def get_user_function(self) -> Handle_co:
            """Return what the worker calls."""


class ActivityBuilder(FunctionBuilder, ActivityFunction[R_co], Generic[P, R_co]):
    """A function under ``@activity_trigger``."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Call the user's function."""

        def build(self, auth_level: AuthLevel | None = None) -> BuiltFunction[Callable[P, R_co]]:
            """Return the function as the worker gets it."""


class OrchestratorBuilder(FunctionBuilder, OrchestratorFunction[R_co], Generic[R_co]):
    """A function under ``@orchestration_trigger``."""

    if TYPE_CHECKING:

        def __call__(self, context: Any) -> str:
            """Replay an instance, as the worker does."""

        def build(self, auth_level: AuthLevel | None = None) -> BuiltFunction[OrchestratorHandle[R_co]]:
            """Return the function as the worker gets it."""


class EntityBuilder(FunctionBuilder, Generic[Entity_co]):
    """A function or class under ``@entity_trigger``."""

    if TYPE_CHECKING:

        def __call__(self, context: Any) -> str:
            """Perform a batch of operations, as the worker does."""

        def build(self, auth_level: AuthLevel | None = None) -> BuiltFunction[EntityHandle[Entity_co]]:
            """Return the function as the worker gets it."""


class ClientBuilder(FunctionBuilder, Generic[P, R_co]):
    """A function under ``@durable_client_input``."""

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Call the user's function, with a client made of the binding's text, as the worker does."""

        def build(self, auth_level: AuthLevel | None = None) -> BuiltFunction[ClientHandle[P, R_co]]:
            """Return the function as the worker gets it."""
