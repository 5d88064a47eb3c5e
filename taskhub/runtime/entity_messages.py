"""What an entity sends, as the messages that carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.codec.entity_texts import encode_request, encode_response, event_name
from taskhub.core.operations import FIRE_AND_FORGET_TAG, Outgoing
from taskhub.model.entities import CONTINUE_EVENT, Continue, Request, Response, Start
from taskhub.model.history import EventRaised, ExecutionStarted, ParentInstance
from taskhub.model.messages import TaskMessage

if TYPE_CHECKING:
    from taskhub.core.entity_batch import Send
    from taskhub.model.history import OrchestrationInstance
    from taskhub.model.ids import Utc


def outgoing(send: Send, sender: OrchestrationInstance, *, now: Utc, default_version: str | None) -> Outgoing:
    """Return the message of what an entity sends.

    Args:
        send: what.
        sender: the entity, with the execution that sends.
        now: the current time.
        default_version: of orchestrations that are started without one.
    """
    content: str | None
    match send.content:
        case Start() as start:
            started = ExecutionStarted(
                timestamp=now,
                instance=send.target,
                # A parent that waits for nothing: the tag says so to whoever would answer it.
                parent=ParentInstance(sender.instance_id, sender, -1),
                name=start.name,
                version=default_version if start.version is None else start.version,
                input=start.input,
                tags={FIRE_AND_FORGET_TAG: ""},
                scheduled_start=start.due,
            )
            return Outgoing(TaskMessage(started, target=send.target), due=send.hidden_until)
        case Request() as request:
            name, content = event_name(send.hidden_until), encode_request(request)
        case Response() as response:
            name, content = send.name or "", encode_response(response)
        case Continue():
            name, content = CONTINUE_EVENT, None
    event = EventRaised(timestamp=now, name=name, input=content)
    return Outgoing(TaskMessage(event, target=send.target), due=send.hidden_until)
