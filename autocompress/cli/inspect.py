"""``autocompress report`` and ``autocompress best``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from autocompress.cli.guard import guarded
from autocompress.cli.options import Allow, Run, Storage


@guarded
def report(run: Run, storage: Storage = None, allow: Allow = None) -> None:
    """Write tables and plots of a run again, from its study; test accuracy included.

    Works while a sweep runs, too.

    **Example**: autocompress report runs/mnist
    """
    from rich.console import Console

    from autocompress.display import observer
    from autocompress.runs import open_study
    from autocompress.summaries import show_front
    from autocompress.sweep import report as write

    console = Console()
    paths = write(run, storage=storage, allow=allow or (), observer=observer(console))
    with open_study(run, storage) as study:
        show_front(console, study.front())
    for problem in paths.problems:
        typer.echo(f"warning: {problem}", err=True)
    typer.echo(f"report: {paths.index}")


@guarded
def best(
    context: typer.Context,
    run: Run,
    by: Annotated[
        str | None, typer.Option(help="The metric to be best in, among those that qualify.")
    ] = None,
    storage: Storage = None,
) -> None:
    """Show the best trial under a budget, or why there is none (exit code 1).

    Limits are --max-METRIC and --min-METRIC, for any metric of the trials. A value may be relative
    to the uncompressed model's: ref-0.5%, ref*0.1, ref/20. Without limits, a search for a target
    gives what it was for.

    **Examples**

    * autocompress best runs/mnist --max-bytes 20KB --min-accuracy 0.97
    * autocompress best runs/mnist --min-accuracy ref-0.5%
    * autocompress best runs/mnist --max-flops 100K --by accuracy
    """
    limits = _limits(context.args)

    from rich.console import Console

    from autocompress.analysis import best as find
    from autocompress.analysis.hardware import HARDWARE, timed_apart
    from autocompress.runs import open_study
    from autocompress.summaries import show_trial

    with open_study(run, storage) as study:
        searched = study.found()
        if searched is not None and not limits and by is None:  # what it was run for
            limits = {searched.goal.target.metric: (searched.goal.target.operator, searched.bound)}
            by = searched.goal.minimize
        answer = find(study.records(), study.objectives, limits, by=by, reference=study.reference)
        if answer.record is None:
            typer.echo(answer.reason)
            raise typer.Exit(1)
        typer.echo(answer.reason)
        compared = [*limits, *([by] if by else [])]
        for problem in timed_apart(study.records(), compared, study.note(HARDWARE)):
            typer.echo(f"warning: {problem}", err=True)
        test = study.test(answer.record.number)
        show_trial(Console(), answer.record, study.reference, run, test)


def _limits(arguments: Sequence[str]) -> dict[str, tuple[str, float | str]]:
    """Read ``--max-bytes 20KB --min-accuracy=0.97`` and the like."""
    from autocompress.errors import ConfigError

    limits: dict[str, tuple[str, float | str]] = {}
    left = list(arguments)
    while left:
        option, separator, value = left.pop(0).partition("=")
        kind, metric = option[:6], option[6:].replace("-", "_")
        if kind not in ("--max-", "--min-") or not metric:
            raise ConfigError(f"{option}: limits are --max-METRIC VALUE and --min-METRIC VALUE")
        if not separator:
            if not left:
                raise ConfigError(f"{option}: its value is missing")
            value = left.pop(0)
        if metric in limits:
            raise ConfigError(f"{option}: there is a limit on {metric} already")
        limits[metric] = ("<=" if kind == "--max-" else ">=", value)
    return limits
