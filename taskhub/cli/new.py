"""``taskhub new``: one more function for an app, in its own programming model."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from taskhub.cli.options import AppOption
from taskhub.cli.output import fail, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.cli.templates import NewFunction, Template

_LEVELS = ("anonymous", "function", "admin")


def new(
    template: Annotated[
        Optional[str],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option("--template", "-t", help="What to add; --list shows what there is.", show_default=False),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--name", "-n", help="Name of the function.", show_default=False),
    ] = None,
    app_dir: AppOption = Path(),
    file: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--file", "-f", metavar="FILE.py", help="Put it there as a blueprint, and register that."),
    ] = None,
    level: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--authlevel", "-a", metavar="anonymous|function|admin", help="Who may call it over HTTP once deployed."
        ),
    ] = None,
    lists: Annotated[bool, typer.Option("--list", help="Show the templates.")] = False,
) -> None:
    """Add a function to an app: an orchestrator, an activity, an entity, or something that a trigger starts."""
    from taskhub.cli.templates import TEMPLATES, find_template, functions_of

    if lists:
        print_table(("Template", "Name of func", "What it adds"), [(t.key, t.title, t.summary) for t in TEMPLATES])
        return
    keys = ", ".join(each.key for each in TEMPLATES)
    chosen = template or _asked(f"Template ({keys})", "--template")
    found = find_template(chosen)
    if found is None:
        raise typer.BadParameter(f"'{chosen}' is no template; there are {keys}.", param_hint="--template")
    if level is not None and level.lower() not in _LEVELS:
        raise typer.BadParameter(f"'{level}' is none of {', '.join(_LEVELS)}.", param_hint="--authlevel")
    if file is not None and not re.fullmatch(r"[A-Za-z_]\w*\.py", file):
        raise typer.BadParameter(f"'{file}' is no module's file, such as orders.py.", param_hint="--file")
    app = _App.of(app_dir.resolve())
    function_name = name or _asked("Name of the function", "--name")
    functions = functions_of(found, function_name, level=level and level.lower(), taken_text=app.all_source())
    app.check_names(functions)
    if app.is_v1:
        if file is not None:
            raise typer.BadParameter("This app has a folder for each function.", param_hint="--file")
        app.add_folders(functions)
    else:
        app.add_to_script(found, functions, file)
    typer.echo(f'The function "{function_name}" was created successfully from the "{found.title}" template.')


def _asked(what: str, option: str) -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter("is needed where nobody can be asked.", param_hint=option)
    answer: str = typer.prompt(what)
    return answer


@dataclass(frozen=True)
class _App:
    """The app that gets a function."""

    root: Path
    script: str
    """Name of its script in the v2 model."""

    @classmethod
    def of(cls, root: Path) -> "_App":
        from taskhub.errors import ConfigurationError
        from taskhub.host.configuration import load_configuration

        if not (root / "host.json").is_file():
            fail(f"{root} is no function app: it has no host.json. Make one with taskhub init, or name one with --app.")
        try:
            settings = load_configuration(root, os.environ).settings
        except ConfigurationError as error:
            fail(str(error))
        return cls(root, settings.get("PYTHON_SCRIPT_FILE_NAME") or "function_app.py")

    @property
    def is_v1(self) -> bool:
        return not (self.root / self.script).is_file() and any(self.root.glob("*/function.json"))

    def all_source(self) -> str:
        paths = [*self.root.glob("*.py"), *self.root.glob("*/function.json")]
        return "\n".join(_read(path) for path in paths)

    def check_names(self, functions: "Sequence[NewFunction]") -> None:
        """End the command when a name cannot be used."""
        from taskhub.cli.function_script import ScriptError, read_script
        from taskhub.host.bindings import BindingError, check_function_name

        try:
            taken = {path.parent.name.lower(): path.parent.name for path in self.root.glob("*/function.json")}
            if not self.is_v1:
                for path in sorted(self.root.glob("*.py")):
                    taken.update(dict.fromkeys(read_script(_read(path), path.name).functions, path.name))
            for function in functions:
                check_function_name(function.name)
                where = taken.get(function.name.lower())
                if where is not None:
                    fail(f"The app has a function '{function.name}' already, in {where}. Choose another --name.")
        except (BindingError, ScriptError) as error:
            fail(str(error))

    def add_folders(self, functions: "Sequence[NewFunction]") -> None:
        """Write a folder for each function."""
        files = {
            self.root / function.name / name: text
            for function in functions
            for name, text in function.files_v1().items()
        }
        for path in files:
            if path.exists():
                fail(f"{path} exists; nothing was written. Choose another --name, or move it away.")
        for path, text in files.items():
            typer.echo(f"Writing {path.relative_to(self.root)}")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def add_to_script(self, template: "Template", functions: "Sequence[NewFunction]", file: str | None) -> None:
        """Write the functions into the app's script, or into a blueprint that it registers."""
        from taskhub.cli.function_script import ScriptError, read_script, with_blueprint, with_functions
        from taskhub.cli.templates import first_script

        path = self.root / self.script
        try:
            script = read_script(_read(path) if path.is_file() else first_script(), self.script)
            if script.app is None:
                fail(f"{self.script} makes no app object. Write one, as app = df.DFApp(), or start with taskhub init.")
            if file is None and template.is_durable and not script.is_durable:
                file = f"{functions[0].identifier}.py"
                typer.echo(f"'{script.app}' has no durable decorators: the function gets a blueprint in {file}.")
            if file is None or file == self.script:
                text = with_functions(script, [each.script_v2(script.app) for each in functions], self.script)
                changes = {path: text}
            else:
                other = self.root / file
                old = _read(other) if other.is_file() else _BLUEPRINT
                blueprint = read_script(old, file, of_blueprint=True)
                if blueprint.app is None or (template.is_durable and not blueprint.is_durable):
                    fail(
                        f"{file} makes no durable blueprint. Write one, as bp = df.Blueprint(), or name another --file."
                    )
                sources = [each.script_v2(blueprint.app) for each in functions]
                changes = {other: with_functions(blueprint, sources, file)}
                if other.stem not in script.bound and f"from {other.stem} import" not in script.text:
                    changes[path] = with_blueprint(script, other.stem, blueprint.app)
        except ScriptError as error:
            fail(str(error))
        for changed, text in changes.items():
            compile(text, str(changed), "exec")  # what cannot be parsed must not replace what could
            typer.echo(f"Writing {changed.name}")
            changed.write_text(text, encoding="utf-8")


_BLUEPRINT = "import azure.durable_functions as df\n\nbp = df.Blueprint()\n"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"Cannot read {path}: {error}.")
