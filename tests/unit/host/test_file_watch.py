"""What counts as a change of an app, and what does not."""

import asyncio

import pytest

from taskhub.host import file_watch
from taskhub.host.file_watch import FileWatch


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    monkeypatch.setattr(file_watch, "LOOK_SECONDS", 0.01)


@pytest.fixture
def app(tmp_path):
    for name in ("function_app.py", "host.json", "lib/words.py", "Hello/function.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    return tmp_path


@pytest.mark.parametrize("name", ["function_app.py", "host.json", "lib/words.py", "Hello/function.json", "new.py"])
async def test_code_and_configuration_are_watched(app, name):
    watch = FileWatch(app)

    (app / name).write_text("changed")

    assert await asyncio.wait_for(watch.changed(), 30) == [name]


async def test_a_file_that_goes_is_a_change_and_several_are_told_together(app):
    watch = FileWatch(app)

    (app / "lib/words.py").unlink()
    (app / "function_app.py").write_text("22")

    assert await asyncio.wait_for(watch.changed(), 30) == ["function_app.py", "lib/words.py"]


async def test_data_caches_and_environments_are_not_watched(app):
    (app / "env").mkdir()
    (app / "env/pyvenv.cfg").write_text("")
    watch = FileWatch(app)

    for name in ("out.json", "env/x.py", ".taskhub/x.py", "__pycache__/x.py", "node_modules/x.py", "notes.txt"):
        (app / name).parent.mkdir(exist_ok=True)
        (app / name).write_text("changed")
    (app / "function_app.py").write_text("22")

    assert await asyncio.wait_for(watch.changed(), 30) == ["function_app.py"]


async def test_what_changed_while_nobody_waited_is_told_next(app):
    watch = FileWatch(app)
    waiting = asyncio.create_task(watch.changed())
    await asyncio.sleep(0)
    waiting.cancel()
    (app / "host.json").write_text("22")

    assert await asyncio.wait_for(watch.changed(), 30) == ["host.json"]
