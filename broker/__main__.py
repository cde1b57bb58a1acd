"""The command line: `serve` and `version`."""

import inspect
from collections.abc import Callable, Iterator
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from broker.config import SECTIONS, Settings, complaints, text, variable
from broker.logs import setup_logs

app = typer.Typer(
    name="eridanus",
    help="Eridanus, an NGSI-LD context broker on MongoDB. [bold]eridanus serve[/bold] is all it takes.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _main(
    wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"Eridanus {installed_version('eridanus')}")


def serve(**flags: Any) -> None:
    """Run the broker: workers on one port, with a MongoDB of its own unless one is named.

    Every option can be given as the environment variable beside it, too; the option wins.

    The value "none" switches an optional setting off.
    """
    settings = _settings({name: value for name, value in flags.items() if value is not None})
    import asyncio

    from broker.supervisor import supervise

    raise typer.Exit(asyncio.run(supervise(settings)))


def _settings(flags: dict[str, Any]) -> Settings:
    """The settings in force; what is wrong with them is told in a line each, with exit code 2."""
    try:
        settings = Settings(**flags)
    except ValidationError as error:
        for line in complaints(error):
            typer.echo(line, err=True)
        raise typer.Exit(2) from None
    setup_logs(settings.log_level, settings.log_format)
    return settings


def _options() -> Iterator[inspect.Parameter]:
    """One option for every setting that is the same for all workers, in the order of the model."""
    section = ""
    for name, field in Settings.model_fields.items():
        section = SECTIONS.get(name, section)
        if field.default_factory is None:
            option = _option(name, field, section)
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)


def _option(name: str, field: FieldInfo, section: str) -> Any:
    # Values stay text: the model is what parses and judges them, for flags and variables alike.
    is_switch = field.annotation is bool
    flag = name.replace("_", "-")
    option = typer.Option(
        f"--{flag}/--no-{flag}" if is_switch else f"--{flag}",
        help=f"{field.description} [dim]\\[{_variable(name, field)}][/dim]",
        metavar=None if is_switch else _metavar(field.annotation),
        show_default=False,
        rich_help_panel=section,
    )
    return Annotated[bool | None if is_switch else str | None, option]


def _variable(name: str, field: FieldInfo) -> str:
    """The environment variable with its default."""
    return variable(name) if field.default is None else f"{variable(name)} = {text(field.default)}"


def _metavar(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    kinds = set(get_args(annotation)) | {annotation}
    return "PATH" if Path in kinds else "NUMBER" if kinds & {int, float} else "TEXT"


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for every setting, as if they were written in its signature."""
    options = list(_options())
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command


app.command()(_with_options(serve))

if __name__ == "__main__":
    app()
