"""The command line: `serve`, `export` and `version`."""

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
    """Run the broker: workers on one port, with an embedded MongoDB unless --mongo-uri names one.

    Every option can also be set by the environment variable shown beside it; the option wins.

    The value "none" switches an optional setting off.
    """
    settings = _settings({name: value for name, value in flags.items() if value is not None})
    import asyncio

    from broker.supervisor import supervise

    raise typer.Exit(asyncio.run(supervise(settings)))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to write, .ndjson or .parquet.", show_default=False)],
    tenant: Annotated[
        str, typer.Option(help="Tenant whose history is exported; the default tenant unless given.")
    ] = "",
    type: Annotated[
        str | None, typer.Option(help="Only entities of these types; a type selection as in a query.")
    ] = None,
    id: Annotated[list[str] | None, typer.Option(help="Only this entity; may be repeated.")] = None,
    attr: Annotated[list[str] | None, typer.Option(help="Only this attribute; may be repeated.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only from this time on, such as 2026-07-01T00:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only before this time.")] = None,
) -> None:
    """Export history to a file. The broker may be running or stopped.

    Types and attributes are names of the core @context, or IRIs. The environment variables of
    [bold]serve[/bold] select the database: BROKER_DATA_DIR, or BROKER_MONGO_URI and BROKER_DATABASE.
    """
    from broker.export.command import run

    settings = _settings({})
    raise typer.Exit(run(settings, file, tenant, type, id or [], attr or [], since, until))


def _settings(flags: dict[str, Any]) -> Settings:
    """The settings from flags and variables. If some are wrong: one line for each, and exit code 2."""
    try:
        settings = Settings(**flags)
    except ValidationError as error:
        for line in complaints(error):
            typer.echo(line, err=True)
        raise typer.Exit(2) from None
    setup_logs(settings.log_level, settings.log_format)
    return settings


def _options() -> Iterator[inspect.Parameter]:
    """An option for each setting that all workers share, in the order of the model."""
    section = ""
    for name, field in Settings.model_fields.items():
        section = SECTIONS.get(name, section)
        if field.default_factory is None and not field.exclude:
            option = _option(name, field, section)
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)


def _option(name: str, field: FieldInfo, section: str) -> Any:
    # Values stay text: the model parses and validates them, from flags and from variables.
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
    """The command, with an option for each setting in its signature."""
    options = list(_options())
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command


app.command()(_with_options(serve))

if __name__ == "__main__":
    app()
