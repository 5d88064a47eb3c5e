"""The tutorial of the human approval, done as the page says: its commands in its order, its code, its edit."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need curl"),
]

PAGE = (Path(__file__).parents[2] / "docs/tutorial/human-approval.md").read_text(encoding="utf-8")
STEPS = re.findall(
    r"^```(sh|python)\n(.*?)^```|(Press Ctrl\+C)|(Now change `.*?` in `tell` to `.*?`)", PAGE, re.S | re.M
)


class Reader:
    """Somebody who does what the page says."""

    def __init__(self, folder, start_host):
        self.folder = folder
        self.start_host = start_host
        self.host = None
        self.outputs = {}

    def type(self, line):
        if line.startswith(("scripts/setup", "source ")):
            return
        if line.startswith("taskhub start "):
            app, *options = shlex.split(line)[2:]
            self.host = self.start_host(self.folder / app, *options)
            self.host.wait_until_ready()
            return
        command = line.replace("localhost:7071", f"127.0.0.1:{self.host.port}") if self.host else line
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr, self.host and self.host.output())
        self.outputs[line] = done.stdout

    def edit(self, old, new):
        script = self.folder / "approvals/function_app.py"
        text = script.read_text()
        assert text.count(old) == 1
        self.save(text.replace(old, new))

    def save(self, text):
        before = self.host.output().count("Host lock lease acquired")
        (self.folder / "approvals/function_app.py").write_text(text)
        self.host.wait_for(r"(?s)" + "Host lock lease acquired.*" * (before + 1), seconds=60)

    def saw(self, beginning):
        (found,) = [text for line, text in self.outputs.items() if line.startswith(beginning)]
        return found


def test_the_tutorial_of_the_human_approval_works_as_it_says(start_host, tmp_path):
    reader = Reader(tmp_path, start_host)

    for language, code, stops, changes in STEPS:
        if language == "sh":
            for line in code.splitlines():
                reader.type(line)
        elif language == "python":
            reader.save(code)
        elif stops:
            assert reader.host.stop(signal.SIGINT) == 0
        elif changes:
            old, _, new = re.findall(r"`(.*?)`", changes)
            reader.edit(old, new)

    assert "hello_cities" in reader.saw("taskhub instances list")
    assert "Running" in reader.saw("taskhub instances show turin")
    turin, pens, oslo, rome = (
        reader.saw(f"taskhub instances wait {name}") for name in ("turin", "pens", "oslo", "rome")
    )
    assert all("Completed" in text for text in (turin, pens, oslo, rome))
    assert '"by": "Ada"' in turin
    assert "nobody, the rule for small amounts decided" in pens
    assert '"by": "Bob"' in oslo
    assert reader.saw("taskhub instances history oslo").count("TaskCompleted") == 2
    assert "Decided at last: Bus to Rome: True" in reader.host.output()
    assert "Decided: Bus" not in reader.host.output()
