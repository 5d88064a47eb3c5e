import os
import sys
import textwrap

import pytest

from taskhub.host.app_loader import enter_app, load_app
from taskhub.host.configuration import load_configuration


@pytest.fixture
def app(tmp_path):
    """Writes files of an app, and loads it; leaves the interpreter as it was."""
    path, modules, folder = list(sys.path), set(sys.modules), os.getcwd()

    class Writer:
        root = tmp_path

        def write(self, name, text=""):
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text), encoding="utf-8")
            return self

        def load(self, **environment):
            configuration = load_configuration(tmp_path, environment)
            enter_app(tmp_path)
            return load_app(configuration)

    yield Writer()

    os.chdir(folder)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name == "__app__" or str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    for name in [name for name in sys.modules if name.startswith("__app__")]:
        del sys.modules[name]
