"""``autocompress sensitivity``: what each layer can bear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autocompress.cli.guard import guarded


@guarded
def sensitivity(
    model: Annotated[
        str, typer.Option(help="autocompress list models, torchvision:NAME or module:factory")
    ] = "digits-cnn",
    data: Annotated[str, typer.Option(help="autocompress list data")] = "digits",
    data_root: Annotated[str | None, typer.Option(help="Folder the data's files are in.")] = None,
    space: Annotated[
        str, typer.Option(help="What may be chosen: autocompress list spaces, or a YAML file.")
    ] = "mixed",
    levels: Annotated[int, typer.Option(help="Values tried of each range.")] = 8,
    samples: Annotated[int, typer.Option(help="Validation examples used at most.")] = 5000,
    steps: Annotated[
        int, typer.Option(help="L-C steps after which each loss is measured again; 0 for none.")
    ] = 0,
    pairs: Annotated[
        int, typer.Option(help="How many of the most sensitive layers are tried in pairs.")
    ] = 3,
    candidates: Annotated[
        int, typer.Option(help="Random candidates that the prediction is checked with.")
    ] = 30,
    out: Annotated[
        Path, typer.Option(help="Folder for table and heat map.", file_okay=False)
    ] = Path("sensitivity"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only the result.")] = False,
) -> None:
    """Measure what each choice of each layer costs by itself, without any training.

    Direct compression of one layer at a time, on validation data. Writes sensitivity.csv,
    sensitivity.json and a heat map (PNG, PDF). Measured once: kept in the user's cache.

    **Examples**

    * autocompress sensitivity
    * autocompress sensitivity --model lenet5 --data mnist --data-root DIR --space quantize
    """
    from rich.console import Console

    from autocompress import data as datasets
    from autocompress import models
    from autocompress.config import Sweep
    from autocompress.display import observer
    from autocompress.explore.space import SearchSpace
    from autocompress.layers import find_layers
    from autocompress.sensitivity.cache import sensitivity as measure
    from autocompress.sensitivity.calibration import calibrate_direct
    from autocompress.sensitivity.files import write_files
    from autocompress.sensitivity.pairs import measure_pairs
    from autocompress.summaries import show_sensitivity

    chosen = SearchSpace.load(space)
    where = Sweep(device=device).torch_device()
    console = Console()
    display = observer(console, quiet=quiet)

    def progress(done: int, of: int) -> None:
        if done == of or done % max(1, of // 10) == 0:
            display.line(f"{done} of {of} choices measured")

    try:
        display.phase(f"loading data {data}")
        loaded = datasets.load(data, root=data_root, device=where)
        chosen.check(find_layers(models.build(model, loaded)))  # before training the reference
        display.phase(f"training the reference {model} (or taking it from the cache)")
        net = models.load(model, loaded, progress=display.training)
        display.phase("measuring sensitivities (or taking them from the cache)")
        table = measure(
            net,
            loaded,
            chosen,
            levels=levels,
            samples=samples,
            steps=steps,
            progress=None if quiet else progress,
        )
        display.phase("checking the prediction")
        found = measure_pairs(table, net, loaded, chosen, most=pairs)
        check = calibrate_direct(table, net, loaded, chosen, candidates=candidates)
    finally:
        display.end()
    paths = write_files(out, table, pairs=found, calibrations=[check])
    from autocompress.report.heatmap import heatmap
    from autocompress.report.style import render

    for kind, content in render(heatmap(table), ("png", "pdf")).items():
        paths.append(out / f"sensitivity.{kind}")
        paths[-1].write_bytes(content)
    show_sensitivity(console, table, found, [check])
    console.print(f"written: {', '.join(str(path) for path in paths)}", soft_wrap=True)
