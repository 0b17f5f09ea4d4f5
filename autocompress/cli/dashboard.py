"""``autocompress dashboard``."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from autocompress.cli.guard import guarded
from autocompress.cli.options import Run, Storage


@guarded
def dashboard(
    run: Run,
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine can see the default one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8080,
    storage: Storage = None,
) -> None:
    """Show a run in a browser with optuna-dashboard, also while it goes on; Ctrl-C ends it.

    The study is opened to be read: what the page offers to change or delete stays as it is. Whoever
    can reach the address can see the run, and with --storage all studies of that database; there is
    no password.

    **Examples**

    * autocompress dashboard runs/mnist
    * autocompress dashboard runs/mnist --port 9000
    """
    from autocompress.errors import MissingExtra

    try:
        from optuna_dashboard import run_server
    except ImportError:
        raise MissingExtra("optuna-dashboard", "dashboard") from None

    from autocompress.explore.database import read_only
    from autocompress.explore.opening import locate
    from autocompress.runs import open_study

    with open_study(run, storage):  # there is one, and it is one of ours
        pass
    database = read_only(locate(run, storage)[1])
    typer.echo(f"http://{host}:{port}/ shows {run}; Ctrl-C ends it")
    with contextlib.suppress(KeyboardInterrupt):
        run_server(database, host=host, port=port)
