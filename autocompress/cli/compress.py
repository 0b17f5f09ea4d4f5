"""``autocompress compress``: one plan, no search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autocompress.cli.guard import guarded


@guarded
def compress(
    plan: Annotated[
        Path,
        typer.Option(
            help="YAML file with 'tasks' and perhaps 'recipe'; a trial's candidate.yaml is one.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The packed file to write.", show_default=False)],
    model: Annotated[
        str, typer.Option(help="autocompress list models, torchvision:NAME or module:factory")
    ] = "digits-cnn",
    data: Annotated[str, typer.Option(help="autocompress list data")] = "digits",
    data_root: Annotated[str | None, typer.Option(help="Folder the data's files are in.")] = None,
    seed: Annotated[int, typer.Option(help="Order of the minibatches.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")] = "auto",
    entropy: Annotated[
        bool, typer.Option("--entropy", help="Entropy-code the file: smaller, just as exact.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only the result.")] = False,
) -> None:
    """Compress one model with one plan, and write the packed file.

    A plan file:

    ```yaml
    tasks:
      - name: all
        params: ["*.weight"]
        compression: {scheme: prune, density: 0.05}
    recipe: {mu: {steps: 20}, epochs_per_step: 2}
    ```

    **Examples**

    * autocompress compress --plan plan.yaml --out small.safetensors
    * autocompress compress --model lenet5 --data mnist --data-root DIR --plan plan.yaml --out m.st
    """
    from rich.console import Console

    from autocompress import api, models, storage
    from autocompress import data as datasets
    from autocompress.config import Sweep
    from autocompress.display import observer
    from autocompress.recipe import Candidate
    from autocompress.summaries import show_compressed

    candidate = Candidate.load(plan)
    if out.is_dir():
        raise IsADirectoryError(f"--out {out}: is a folder; expected the name of a file")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out {out}: there is no folder {out.parent}")
    if entropy:
        storage.entropy_coder()  # is it there? Compressing takes long
    where = Sweep(device=device).torch_device()
    console = Console()
    display = observer(console, quiet=quiet)
    try:
        display.phase(f"loading data {data}")
        loaded = datasets.load(data, root=data_root, device=where)
        candidate.plan.resolve(models.build(model, loaded))  # fail before training the reference
        display.phase(f"training the reference {model} (or taking it from the cache)")
        reference = models.load(model, loaded, progress=display.training)
        display.phase("compressing")
        result = api.compress(
            reference,
            candidate.plan,
            candidate.recipe,
            loaded,
            seed=seed,
            on_step=None if quiet else lambda record: display.line(str(record)),
        )
    finally:
        display.end()
    result.save(out, entropy=entropy)
    show_compressed(console, result, reference, loaded, entropy=entropy)
    console.print(f"{result.status}; best step {result.best_step}; written: {out}", soft_wrap=True)
