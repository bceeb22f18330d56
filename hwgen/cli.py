"""The command line: ``hwgen COMMAND``. Every command has its file in `hwgen.commands`."""

from __future__ import annotations

import traceback
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hwgen import __version__, commands
from hwgen.commands.output import error_console
from hwgen.errors import HwgenError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

USAGE_ERROR = 2
"""Exit code when the input is at fault or a tool is missing; 1 is for results that differ."""


class _Group(TyperGroup):
    """Turns the errors a user is meant to read into their message and an exit code, without a traceback."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands, each with the whole first paragraph of its help: Typer would cut it to a line."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_paragraph(self.commands[name].help)) for name in self.list_commands(ctx)])

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except HwgenError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            warnings.simplefilter("ignore")  # Amaranth's, of modules that were not elaborated to the end
            error_console().print("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except ModuleNotFoundError as error:
            extra = commands.extra_of(error.name or "")
            if extra is None:
                raise
            _fail(f'this needs the package {error.name}, which is not installed\n  -> pip install "hwgen[{extra}]"')


def _first_paragraph(help_text: str | None) -> str:
    return " ".join((help_text or "").partition("\n\n")[0].split())


def _fail(text: str) -> None:
    error_console().print(f"error: {text}", style="red", soft_wrap=True)
    raise typer.Exit(USAGE_ERROR)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Convolution accelerators from quantised networks, verified to the bit.",
    epilog="`hwgen COMMAND --help` shows a command's options and examples.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hwgen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Convolution accelerators from quantised networks, verified to the bit."""


commands.register(app)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Exception as error:  # a fault of this tool: its traceback is shown, but no result differs
        traceback.print_exc()
        error_console().print("error: this is a fault of hwgen; please report the lines above", style="red")
        raise SystemExit(USAGE_ERROR) from error
