"""The gRPC door of the host, for the durable clients of the app: on loopback, without encryption.

It runs on the host's own event loop, clients on that of the app's coroutine functions, in another thread.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import random
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError, TaskHubError
from taskhub.host.protobuf.service import UNKNOWN, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from taskhub.client import TaskHubClient
    from taskhub.host.protobuf.service import SidecarService

    ClientOf = Callable[[str | None, str | None], Awaitable[TaskHubClient]]

LOOPBACK = "127.0.0.1"
_PORT = 4001
_RANDOM_PORTS = range(30_000, 31_000)
_ATTEMPTS = 10
_SERVICE = "TaskHubSidecarService"

logger = logging.getLogger(__name__)


class GrpcDoor:
    """A server that is bound to a port; it answers once it was started.

    Args:
        grpc: the gRPC library.
        messages: module with the message classes.
        max_message_bytes: largest message that is taken or sent.

    Raises:
        ConfigurationError: none of ten attempts found a free port.
    """

    def __init__(self, grpc: Any, messages: Any, *, max_message_bytes: int) -> None:
        self._grpc = grpc
        self._messages = messages
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # Two hosts must not share a port.
                ("grpc.so_reuseport", 0),
            ]
        )
        self.port = self._bind()

    def __repr__(self) -> str:
        return f"<GrpcDoor on port {self.port}>"

    def _bind(self) -> int:
        for port in [_PORT, *random.sample(_RANDOM_PORTS, _ATTEMPTS - 1)]:
            with contextlib.suppress(RuntimeError):
                bound: int = self._server.add_insecure_port(f"{LOOPBACK}:{port}")
                return bound
            logger.info("port %s is not available for the durable client", port)
        raise ConfigurationError(
            f"No port could be found for the durable client: {_ATTEMPTS} attempts failed. "
            f"Free port {_PORT}, or some of 30000 to 30999."
        )

    async def start(self, service: SidecarService, client_of: ClientOf) -> None:
        """Begin to answer.

        Args:
            service: the calls.
            client_of: gives the client of a hub, by its name and that of its connection; ``None``: the app's own.
        """
        class_of = importlib.import_module("google.protobuf.message_factory").GetMessageClass
        calls, streams = service.calls(), service.streams()
        handlers = {}
        for method in self._messages.DESCRIPTOR.services_by_name[_SERVICE].methods:
            request, response = class_of(method.input_type), class_of(method.output_type)
            texts = {"request_deserializer": request.FromString, "response_serializer": response.SerializeToString}
            if method.name in calls:
                answer = self._answering(calls[method.name], client_of, response)
                handlers[method.name] = self._grpc.unary_unary_rpc_method_handler(answer, **texts)
            elif method.name in streams:
                stream = self._streaming(streams[method.name], client_of)
                handlers[method.name] = self._grpc.unary_stream_rpc_method_handler(stream, **texts)
        self._server.add_generic_rpc_handlers((self._grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        await self._server.start()

    async def stop(self) -> None:
        """Answer nobody any more."""
        await self._server.stop(0)

    def _answering(
        self, call: Callable[[TaskHubClient, Any], Awaitable[Any]], client_of: ClientOf, response: Any
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, context: Any) -> Any:
            try:
                answered = await call(await client_of(*_asked_hub(context)), request)
            except Exception as error:
                # The top of a call. Whatever it was, its client hears of it.
                await self._refuse(context, error)
            return response() if answered is None else answered

        return answer

    def _streaming(
        self, call: Callable[[TaskHubClient, Any], AsyncIterator[Any]], client_of: ClientOf
    ) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async for part in call(await client_of(*_asked_hub(context)), request):
                    yield part
            except Exception as error:
                # As above.
                await self._refuse(context, error)

        return stream

    async def _refuse(self, context: Any, error: Exception) -> None:
        """Tell the client why it gets no answer; raises."""
        if isinstance(error, Refused):
            status, text = error.status, error.text
        else:
            status, text = UNKNOWN, str(error)
            if not isinstance(error, TaskHubError):
                logger.error("a call of the durable client was not answered", exc_info=error)
        await context.abort(self._grpc.StatusCode[status], text)


def _asked_hub(context: Any) -> tuple[str | None, str | None]:
    """Return the hub and the connection that a call is about, by what its client sends along."""
    sent = dict(context.invocation_metadata() or ())
    return sent.get("durable-taskhub") or sent.get("taskhub"), sent.get("durable-connectionname")
