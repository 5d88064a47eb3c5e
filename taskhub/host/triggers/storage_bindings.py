"""Input and output bindings on storage: read before a function runs, written once it has returned.

Source: Azure WebJobs SDK storage extension, bindings of queues and blobs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from azure.functions.meta import Datum

from taskhub.errors import BlobNotFound, ConfigurationError, QueueNotFound, StorageError
from taskhub.host.extension_types import blob_client_datum
from taskhub.host.functions import BLOB, QUEUE
from taskhub.host.triggers.blob_paths import split_path, wake_key_of
from taskhub.host.triggers.expressions import MissingValue, SystemValues, TemplateError, parse_template
from taskhub.host.triggers.queue_texts import UnreadableText, contents_of, encode_text, is_queue_name
from taskhub.host.triggers.trigger_values import values_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from taskhub.host.call_plan import CallPlan, Output
    from taskhub.host.functions import Binding
    from taskhub.host.triggers.connections import Connection, Connections

_T = TypeVar("_T")

_template = lru_cache(maxsize=1024)(parse_template)


class BindingFailed(Exception):
    """What a binding names cannot be read or written; the message says which and why."""


class StorageBindings:
    """Reads and writes what the bindings of functions name.

    Args:
        connections: the accounts.
        is_base64: how texts are stored in queues.
        wake: called with what readers wait for that has something new.
    """

    def __init__(self, connections: Connections, *, is_base64: bool, wake: Callable[[str], object]) -> None:
        self._connections = connections
        self._is_base64 = is_base64
        self._wake = wake

    async def read(
        self,
        plan: CallPlan,
        data: Mapping[str, Datum],
        metadata: Mapping[str, Datum],
        values: Mapping[str, Any],
    ) -> dict[str, Datum]:
        """Return the data of a function's input bindings; of a blob that is not there ``None``.

        What gets a client is told what for, and nothing is read.

        Args:
            plan: of the function.
            data: of its other bindings.
            metadata: of its trigger.
            values: that expressions can name besides what the trigger received.

        Raises:
            BindingFailed: a path has no value, or the storage does not answer.
        """
        names = _values(plan, data, metadata, values)
        read: dict[str, Datum] = {}
        for name, item in plan.stored_inputs.items():
            with_cause = f"Error while reading binding '{name}'"
            container, blob = self._blob_path(plan, item.binding, names, with_cause)
            if item.is_client:
                read[name] = blob_client_datum(item.binding, container, blob)
                continue
            connection = await self._connection(item.binding, with_cause)
            try:
                read[name] = await _get_blob(connection, container, blob)
            except StorageError as error:
                raise BindingFailed(f"{with_cause}: {error}") from error
        return read

    async def write(
        self,
        plan: CallPlan,
        outputs: Mapping[str, Datum],
        data: Mapping[str, Datum],
        metadata: Mapping[str, Datum],
        values: Mapping[str, Any],
    ) -> None:
        """Write what a function gave to its output bindings.

        Args:
            plan: of the function.
            outputs: by the name of the binding.
            data: of its other bindings.
            metadata: of its trigger.
            values: that expressions can name besides what the trigger received.

        Raises:
            BindingFailed: a path has no value, the storage does not answer, or refuses the value.
        """
        names = _values(plan, data, metadata, values)
        for name, datum in outputs.items():
            output = plan.stored_outputs[name]
            with_cause = f"Error while handling parameter '{name}' after function returned"
            try:
                await _WRITERS[output.binding.kind](self, plan, output, datum, names, with_cause)
            except (StorageError, UnreadableText) as error:
                raise BindingFailed(f"{with_cause}: {error}") from error

    async def _put_messages(
        self,
        plan: CallPlan,
        output: Output,
        datum: Datum,
        names: Mapping[str, Any],
        with_cause: str,
    ) -> None:
        queue = self._render(plan, output.binding, "queuename", names, with_cause).lower()
        if not is_queue_name(queue):
            raise BindingFailed(f"{with_cause}: '{queue}' is no name of a queue")
        connection = await self._connection(output.binding, with_cause)
        for content in contents_of(datum):
            text = encode_text(content, is_base64=self._is_base64)
            await _put_message(connection, queue, text)
        self._wake(queue)

    async def _put_blob(
        self,
        plan: CallPlan,
        output: Output,
        datum: Datum,
        names: Mapping[str, Any],
        with_cause: str,
    ) -> None:
        container, blob = self._blob_path(plan, output.binding, names, with_cause)
        connection = await self._connection(output.binding, with_cause)
        blobs = connection.storage.blobs
        content = datum.value.encode() if isinstance(datum.value, str) else bytes(datum.value)
        try:
            await _patiently(connection, lambda: blobs.put_blob(container, blob, content))
        except BlobNotFound:
            await blobs.create_container(container)
            await _patiently(connection, lambda: blobs.put_blob(container, blob, content))
        self._wake(wake_key_of(container))

    def _blob_path(
        self, plan: CallPlan, binding: Binding, names: Mapping[str, Any], with_cause: str
    ) -> tuple[str, str]:
        try:
            return split_path(self._render(plan, binding, "path", names, with_cause))
        except TemplateError as error:
            raise BindingFailed(f"{with_cause}: {error}") from error

    def _render(self, plan: CallPlan, binding: Binding, key: str, names: Mapping[str, Any], with_cause: str) -> str:
        environment = self._connections.environment
        system = SystemValues(environment.clock.now, environment.new_guid, plan.function.name)
        try:
            return _template(str(binding.properties[key])).render(names, system)
        except MissingValue as error:
            raise BindingFailed(f"{with_cause}: {error}") from error

    async def _connection(self, binding: Binding, with_cause: str) -> Connection:
        try:
            return await self._connections.get(binding.properties.get("connection"))
        except ConfigurationError as error:
            raise BindingFailed(f"{with_cause}: {error}") from error


_WRITERS = {QUEUE: StorageBindings._put_messages, BLOB: StorageBindings._put_blob}


def _values(
    plan: CallPlan, data: Mapping[str, Datum], metadata: Mapping[str, Datum], values: Mapping[str, Any]
) -> dict[str, Any]:
    trigger = plan.function.trigger
    return {**values_of(trigger.kind, data[trigger.name], metadata), **values}


async def _put_message(connection: Connection, queue: str, text: str) -> None:
    queues = connection.storage.queues
    try:
        await _patiently(connection, lambda: queues.put(queue, text))
    except QueueNotFound:
        await queues.create_queue(queue)
        await _patiently(connection, lambda: queues.put(queue, text))


async def _get_blob(connection: Connection, container: str, blob: str) -> Datum:
    try:
        content = await _patiently(connection, lambda: connection.storage.blobs.get_blob(container, blob))
    except BlobNotFound:
        return Datum(None, None)
    return Datum(content, "bytes")


async def _patiently(connection: Connection, call: Callable[[], Awaitable[_T]]) -> _T:
    """Make a storage call that may be made again, for some seconds if need be: the invocation waits."""
    return await connection.health.retry_briefly(lambda: connection.health.noted(call))
