"""PURE: requests to entities that nobody will answer, in a picture of a hub.

An orchestration that calls or locks entities waits for an event with the id of its request. Until that comes, the
request is in the queue of an entity, or the entity holds it (in line, out of order, behind a lock), or the answer is on
its way. Else it is lost; and whether it was lost before the entity took it, or only the answer was, the entity
remembers for a while: by the labels of the sender's messages within the reorder window, by their ids for an hour.

A lock goes from entity to entity: those that the sender holds stand first in its set, the next one must know of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.core.entity_facts import EntityFacts
from taskhub.core.entity_memory import RequestMemory
from taskhub.model.diagnosis import Finding, PutGrant, PutRequest, Severity
from taskhub.model.history import EventRaised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskhub.core.entity_facts import OpenRequest
    from taskhub.core.picture import Picture
    from taskhub.model.ids import ETag, InstanceId
    from taskhub.model.messages import TaskMessage


def lost_requests(picture: Picture) -> Iterator[Finding]:
    """Yield what orchestrations wait for in vain."""
    for instance_id, requests in picture.requests.items():
        waiting = picture.waiting.get(instance_id, ())
        etag = picture.executions[instance_id].etag
        for each in requests:
            is_answered = any(isinstance(it.event, EventRaised) and it.event.name == each.request.id for it in waiting)
            queues = {picture.queue_of(one) for one in (instance_id, *each.members)}
            if is_answered or not all(picture.sees(queue) for queue in queues):
                continue
            find = _lost_call if each.request.lock_set is None else _lost_lock
            found = find(picture, instance_id, each, etag)
            if found is not None:
                yield found


def _lost_call(picture: Picture, instance_id: InstanceId, each: OpenRequest, etag: ETag | None) -> Finding | None:
    request, target = each.request, each.target
    entity = picture.entities.get(target)
    if _is_on_its_way(picture.waiting.get(target, ()), request.id) or (entity and request.id in entity.held):
        return None
    text = (
        f"It waits for the answer of the entity '{target}' to '{request.operation}' (request {request.id}, sent at "
        f"{each.sent}), but"
    )
    if entity is None or (not entity.has_taken(request) and entity.would_remember(request, each.sent)):
        return Finding(
            "lost-request",
            Severity.PROBLEM,
            instance_id,
            f"{text} the entity never got the request, and neither it nor an answer is in a queue.",
            PutRequest(instance_id, request.id, target, f"'{request.operation}'", etag),
        )
    what = "the entity has done it" if entity.has_taken(request) else "whether the entity has done it, nobody knows"
    return Finding(
        "lost-entity-answer",
        Severity.PROBLEM,
        instance_id,
        f"{text} the answer is in no queue; {what}. If you know the answer, give it: taskhub instances raise "
        f'{instance_id} {request.id} --data \'{{"result": "JSON"}}\'',
    )


def _lost_lock(picture: Picture, instance_id: InstanceId, each: OpenRequest, etag: ETag | None) -> Finding | None:
    request = each.request
    if any(picture.waiting.get(member) for member in each.members):
        return None  # a lock that is handed on, or one that is given back
    text = f"It waits for the lock of {_names(each.members)} (request {request.id}, sent at {each.sent}), but"
    facts = {member: picture.entities.get(member, EntityFacts()) for member in each.members}
    open_members = [member for member in each.members if facts[member].locked_by != instance_id]
    if not open_members:
        return Finding(
            "lost-request",
            Severity.PROBLEM,
            instance_id,
            f"{text} all are locked for it, and the message that says so is in no queue.",
            PutGrant(instance_id, request.id, etag),
        )
    target = open_members[0]
    if request.id in facts[target].held:
        return None
    text = f"{text} '{target}' does not know of it, and the request is in no queue."
    is_forgotten = RequestMemory(facts[target].taken).has_taken(request.id)
    remedy = None if is_forgotten else PutRequest(instance_id, request.id, target, "to be locked", etag)
    return Finding("lost-request", Severity.PROBLEM, instance_id, text, remedy)


def _is_on_its_way(waiting: Sequence[TaskMessage], request_id: str) -> bool:
    return any(isinstance(each.event, EventRaised) and request_id in (each.event.input or "") for each in waiting)


def _names(members: Sequence[InstanceId]) -> str:
    return ", ".join(f"'{each}'" for each in members)
