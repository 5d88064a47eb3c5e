"""Clients of the host's own process are answered as the loopback address answers them."""

import asyncio
import json
import threading

import pytest
from azure.durable_functions.hosting import answers_to
from azure.durable_functions.models.utils import http_utils

from taskhub.host import routes
from taskhub.host.local_door import LocalDoor
from taskhub.host.server import Listener, RpcDoor, bind_rpc_port

PATHS = (
    "/durabletask/orchestrators/hello",
    "/durabletask/orchestrators/hello/a%2Fb%20c?version=1%2B2&x=é",
    "/durabletask/instances/å%20%2e%2e%25?showHistory=true&showInput=",
    "/durabletask/instances/../instances/./x",
    "/durabletask/instances/..",
    "/durabletask/instances/%2E%2E%2F..%2fx",
    "/DurableTask/instances/x#part",
    "/runtime/webhooks/durabletask/entities/counter/k?op=add",
    "/durabletask/",
    "/durabletask",
    "/other/instances/x",
    "/%00",
    "/../..",
    "/",
    "",
)
STATUSES = {
    "204": (204, None),
    "500": (500, "no JSON"),
    "404": (404, '{"Message": "none"}'),
    "broken": (200, "no JSON"),
}


async def telling(request):
    """Answer what was asked; some ids ask for another answer."""
    for id_, (status, body) in STATUSES.items():
        if request.path.endswith(f"/{id_}"):
            return routes.Response(status, body)
    if request.path.endswith("/raise"):
        raise RuntimeError("not answered")
    names = ["traceparent", "x-azure-functions-invocationid", *(["content-type"] if request.body else [])]
    asked = {name: request.headers.get(name) for name in names}
    told = [request.method, request.path, request.query, request.url, asked, request.body.decode()]
    return routes.Response(200, json.dumps(told))


async def asked_both_ways(play):
    """Return what comes of asking over HTTP, and without, the port left out."""
    bound = bind_rpc_port()
    port = bound.getsockname()[1]
    listener = Listener([bound], RpcDoor(telling))
    await listener.start()
    local = LocalDoor(port, telling)
    answers = []
    for is_local in (False, True):
        if is_local:
            local.open()
        assert (answers_to(f"http://127.0.0.1:{port}/x") is local) is is_local
        try:
            answer = await play(f"http://127.0.0.1:{port}")
        except Exception as error:
            answer = type(error).__name__
        answers.append(json.loads(json.dumps(answer).replace(f":{port}", ":PORT")))
    local.close()
    await listener.stop(grace_seconds=0)
    return answers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["get", "delete", "post", "post a body"])
async def test_both_doors_are_asked_the_same_and_answer_alike(method, path):
    async def play(origin):
        if method == "get":
            return await http_utils.get_async_request(origin + path, "invocation")
        if method == "delete":
            return await http_utils.delete_async_request(origin + path)
        data = '{"ü": [1, "\\ud800"]}' if method == "post a body" else None
        return await http_utils.post_async_request(origin + path, data, "trace", None, "invocation")

    over_http, without = await asked_both_ways(play)

    assert without == over_http


@pytest.mark.parametrize("id_", [*STATUSES, "raise"])
async def test_both_doors_give_the_same_answers(id_):
    async def play(origin):
        return await http_utils.get_async_request(f"{origin}/durabletask/instances/{id_}")

    over_http, without = await asked_both_ways(play)

    assert without == over_http


def test_clients_in_other_threads_are_answered_on_the_loop_of_the_host():
    answered_in = []

    async def manage(request):
        answered_in.append(threading.current_thread().name)
        return routes.Response(200, json.dumps(request.path))

    def call(port):
        return asyncio.run(http_utils.get_async_request(f"http://127.0.0.1:{port}/durabletask/instances/x"))

    async def main():
        door = LocalDoor(17_071, manage)
        door.open()
        try:
            return await asyncio.gather(*(asyncio.to_thread(call, 17_071) for _ in range(20)))
        finally:
            door.close()

    assert asyncio.run(main()) == [[200, "/instances/x"]] * 20
    assert set(answered_in) == {threading.main_thread().name}


async def test_who_is_cancelled_does_not_break_off_what_is_done():
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def manage(request):
        begun.set()
        await go_on.wait()
        assert request.is_abandoned()
        done.set()
        return routes.Response(202)

    door = LocalDoor(17_072, manage)
    asking = asyncio.create_task(door("POST", "http://127.0.0.1:17072/durabletask/orchestrators/hello", {}, b""))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    go_on.set()

    await asyncio.wait_for(done.wait(), 10)


async def test_who_gets_no_answer_hears_of_it_after_the_same_time_as_over_http(monkeypatch):
    async def manage(request):
        await asyncio.Event().wait()

    monkeypatch.setattr(http_utils, "_TOTAL_SECONDS", 0.05)
    door = LocalDoor(17_074, manage)
    door.open()
    try:
        with pytest.raises(asyncio.TimeoutError):
            await http_utils.get_async_request("http://127.0.0.1:17074/durabletask/instances/x")
    finally:
        door.close()


def test_a_host_that_stops_says_so_to_who_waits():
    told = []

    def call():
        try:
            asyncio.run(http_utils.get_async_request("http://127.0.0.1:17073/durabletask/instances/x"))
        except ConnectionError as error:
            told.append(str(error))

    caller = threading.Thread(target=call)

    async def main():
        begun = asyncio.Event()

        async def manage(request):
            begun.set()
            await asyncio.sleep(3600)

        door = LocalDoor(17_073, manage)
        door.open()
        caller.start()
        await begun.wait()
        door.close()

    # What still runs is cancelled at its end.
    asyncio.run(main())
    caller.join(10)

    assert told == ["the host at http://127.0.0.1:17073 has stopped"]
