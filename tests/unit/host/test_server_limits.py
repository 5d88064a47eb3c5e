import asyncio
import contextlib

import pytest

from taskhub.host.server_limits import ConnectionWatch, Limits


@contextlib.asynccontextmanager
async def connected():
    """The transport of a server's connection, whose client reads nothing."""
    accepted = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0)
    _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
    client.transport.pause_reading()
    writer = await accepted
    yield writer.transport
    client.transport.abort()
    writer.transport.abort()
    server.close()


@pytest.mark.parametrize(("now", "is_cut_off"), [(129.9, False), (130.0, True)])
async def test_a_head_has_its_time_from_connecting(now, is_cut_off):
    watch = ConnectionWatch(Limits(head_seconds=30))
    async with connected() as transport:
        watch.opened("a", transport, 100)

        watch.sweep(now)

        assert transport.is_closing() == is_cut_off


async def test_a_request_that_is_answered_has_all_the_time_it_needs():
    watch = ConnectionWatch(Limits(head_seconds=30, idle_seconds=130))
    async with connected() as transport:
        watch.opened("a", transport, 100)
        watch.asked("a")
        watch.sweep(10_000)
        assert not transport.is_closing()

        watch.answered("a", 10_000)
        watch.sweep(10_129)
        assert not transport.is_closing()
        watch.sweep(10_130)

        assert transport.is_closing()


async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off():
    watch = ConnectionWatch(Limits(stuck_seconds=30))
    async with connected() as transport:
        watch.opened("a", transport, 0)
        watch.asked("a")
        transport.write(b"x" * 50_000_000)
        assert transport.get_write_buffer_size()

        watch.sweep(1)
        watch.sweep(30)
        assert not transport.is_closing()
        watch.sweep(31)

        assert transport.is_closing()


async def test_a_connection_that_was_closed_is_forgotten():
    watch = ConnectionWatch(Limits())
    async with connected() as transport:
        watch.opened("a", transport, 0)
        watch.closed("a")

        watch.sweep(1000)

        assert not transport.is_closing()
        assert repr(watch) == "<ConnectionWatch, 0 connections>"
