"""Write the report of a study: tables, plots and a page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autocompress import yamlio
from autocompress.analysis.front import Front
from autocompress.analysis.onesided import Found
from autocompress.errors import AutocompressError
from autocompress.explore.objectives import Objectives
from autocompress.explore.record import TrialRecord
from autocompress.explore.repeats import Repeat
from autocompress.report.curves import hypervolume_curve, mu_curves
from autocompress.report.html import Picture, page
from autocompress.report.pareto import pareto
from autocompress.report.pareto_info import TRIAL, pairs
from autocompress.report.proposals import (
    calibrate,
    calibration_frame,
    calibration_plot,
    calibration_text,
    origin_frame,
    origin_text,
)
from autocompress.report.style import render
from autocompress.report.tables import (
    front_frame,
    front_table,
    heading,
    markdown,
    summary_of,
    tex,
    text_of,
    trials_frame,
)
from autocompress.sensitivity.calibration import Calibration
from autocompress.sensitivity.planning import NOTE
from autocompress.storage import atomic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_HISTORIES = 60  # trials whose L-C steps are drawn at most
_STEP_COLUMNS = {"step", "mu", "violation", "val_accuracy"}


class StudyLike(Protocol):
    """What a report reads of a study."""

    def records(self) -> list[TrialRecord]:
        """Return all trials."""
        ...

    @property
    def objectives(self) -> Objectives:
        """What is optimized, resolved."""
        ...

    @property
    def reference(self) -> Mapping[str, float]:
        """Metrics of the uncompressed model."""
        ...

    @property
    def path(self) -> Path:
        """The run's folder, which trials' folders are relative to."""
        ...

    def test(self, number: int) -> float | None:
        """Return a trial's accuracy on the test split, a fraction; None if never measured."""
        ...

    def set_test(self, number: int, value: float) -> None:
        """Keep a trial's accuracy on the test split."""
        ...

    def found(self) -> Found | None:
        """What a search for a target has found; None for a search of the front."""
        ...

    def repeats(self) -> Mapping[int, Sequence[Repeat]]:
        """Return runs of trials under other seeds, by trial number."""
        ...

    def note(self, key: str) -> Any:
        """Return what was remembered under a key, or None."""
        ...


@dataclass(frozen=True)
class ReportPaths:
    """What was written.

    Attributes:
        folder: Where everything is; ``answer.json`` too if the search was for a target.
        index: The page.
        front_csv: The front as numbers.
        front_md: The front for people, Markdown.
        front_tex: The front for a paper, LaTeX.
        trials_csv: All trials as numbers.
        origins_csv: Who proposed how many trials, and how many of the front.
        figures: Every figure's files: PNG, PDF, SVG.
        problems: What could not be done, one line each; it is on the page too.
    """

    folder: Path
    index: Path
    front_csv: Path
    front_md: Path
    front_tex: Path
    trials_csv: Path
    origins_csv: Path
    figures: tuple[Path, ...]
    problems: tuple[str, ...]


def build_report(
    study: StudyLike,
    folder: str | Path,
    *,
    test: Callable[[TrialRecord], float] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> ReportPaths:
    """Write a study's report: tables, every pair of objectives as a plot, and ``index.html``.

    Works at any time, also while trials run and before the first is complete. Each file appears
    whole or not at all, the page last.

    Args:
        study: The study; its objectives resolved.
        folder: Where to; made if it does not exist. Files of an earlier report are replaced.
        test: Measures a trial's accuracy on the test split. It is called once for each trial on
            the front and its answer kept in the study; None only shows what is already kept.
        progress: Called with steps done, steps in all, and what is being done.

    Raises:
        OSError: the folder cannot be written.
        ConfigError: the objectives' reference point is not resolved to numbers.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    front = Front.from_records(study.records(), study.objectives, dict(study.reference))
    front = front.with_repeats(study.repeats())
    plots = 3 + len(pairs(front))
    total = len(front) + plots + 1

    def tell(done: int, what: str) -> None:
        if progress is not None:
            progress(done, total, what)

    problems: list[str] = []
    calibration = _calibration(study, front, problems)
    tested: dict[int, float] = {}
    for done, record in enumerate(front):
        tell(done, f"test accuracy of trial {record.number}")
        value = _tested(study, record, test, problems)
        if value is not None:
            tested[record.number] = value
    pictures: list[Picture] = []
    written: list[Path] = []
    figures = _figures(study, front, tested, calibration)
    for done, (name, caption, figure) in enumerate(figures, len(front)):
        tell(done, f"plot {name}")
        pictures.append(Picture(name, caption, _write_figure(figure, folder / name, written)))
    tell(total - 1, "tables and page")
    tables = _write_tables(front, tested, folder)
    others: list[Path] = []
    if calibration is not None:
        others.append(folder / "calibration.csv")
        atomic.write_text(others[-1], calibration_frame(calibration).to_csv(index=False))
    found = study.found()
    answer = None if found is None else folder / "answer.json"
    if found is not None and answer is not None:
        others.append(answer)
        atomic.write_text(answer, json.dumps(found.to_dict(), indent=2) + "\n")
    text = page(
        front,
        name=Path(study.path).resolve().name,
        test=tested,
        pictures=pictures,
        run=_sweep(study, problems),
        problems=problems,
        files=[path.name for path in (*tables, *others)],
        found=found,
        foretold="" if calibration is None else calibration_text(calibration),
    )
    atomic.write_text(folder / "index.html", text)
    tell(total, "done")
    return ReportPaths(folder, folder / "index.html", *tables, tuple(written), tuple(problems))


def _calibration(study: StudyLike, front: Front, problems: list[str]) -> Calibration | None:
    """Return how well the study's sensitivities foretold its trials, if it has any."""
    try:
        return calibrate(study.note(NOTE), front)
    except (AutocompressError, KeyError, TypeError, ValueError) as error:
        problems.append(f"the sensitivities kept with the study cannot be read: {error}")
        return None


def _tested(
    study: StudyLike,
    record: TrialRecord,
    test: Callable[[TrialRecord], float] | None,
    problems: list[str],
) -> float | None:
    """Return a trial's test accuracy, measured at most once ever; None if there is none."""
    kept = study.test(record.number)
    if kept is not None or test is None:
        return kept
    try:
        value = float(test(record))
    except (AutocompressError, OSError) as error:  # a trial's file is gone or damaged
        problems.append(f"test accuracy of trial {record.number} could not be measured: {error}")
        return None
    if not math.isfinite(value):
        problems.append(f"test accuracy of trial {record.number} is {value}")
        return None
    study.set_test(record.number, value)
    return value


def _figures(
    study: StudyLike,
    front: Front,
    tested: Mapping[int, float],
    calibration: Calibration | None,
) -> Iterator[tuple[str, str, Figure]]:
    """Draw one figure after the other: name, caption, figure."""
    for position, (x, y) in enumerate(pairs(front)):
        name = "pareto" if position == 0 else f"pareto-{y}-{x}"
        yield name, _caption(front, x, y, tested), pareto(front, x, y, test=tested)
    caption = "Hypervolume of all trials so far, against the trial number."
    yield "hypervolume", caption, hypervolume_curve(front.considered, front.objectives)
    if calibration is not None:
        caption = (
            "The guess that the search began with: the sum of what each layer's compression costs "
            "by itself, and the validation loss of the trained trial. Triangles at the edge: "
            "foretold to cost next to nothing."
        )
        yield "calibration", caption, calibration_plot(calibration)
    histories = _histories(study, front)
    if histories:
        caption = (
            "The front's trials, step by step: penalty parameter μ, constraint violation, "
            "and validation accuracy of the compressed model."
        )
        yield "steps", caption, mu_curves(histories, front=front)


def _caption(front: Front, x: str, y: str, tested: Mapping[int, float]) -> str:
    vertical = heading(front.objectives[y])
    if x == TRIAL:
        text = f"{vertical.capitalize()} of every trial; the line is the best so far."
    else:
        text = f"{vertical.capitalize()} against {heading(front.objectives[x])}."
    if (x, y) == pairs(front)[0] and (whose := origin_text(front)):
        text += f" The front by origin: {whose}."
    if len(front.objectives.items) > 2:
        text += (
            f" Filled: the front of all {len(front.objectives.items)} objectives; the line joins "
            "what is best in these two."
        )
    if tested and y in ("accuracy", "error"):
        text += " Hollow: the same models on the test split."
    if front.noise is not None:
        text += (
            f" Bars: {100 * front.noise.level:.0f} % confidence intervals of the mean over seeds; "
            "the markers are at the search's own seed."
        )
    return text


def _histories(study: StudyLike, front: Front) -> dict[int, pd.DataFrame]:
    """Read the steps of the front's trials; what is missing or damaged is left out."""
    import pandas as pd

    stride = math.ceil(len(front) / _HISTORIES) or 1
    found = {}
    for record in front.records[::stride]:
        if record.folder is None:
            continue
        try:
            history = pd.read_csv(Path(study.path) / record.folder / "history.csv")
        except (OSError, ValueError):  # pandas' parser errors are ValueErrors
            continue
        numeric = all(history[name].dtype.kind in "if" for name in _STEP_COLUMNS & {*history})
        if set(history) >= _STEP_COLUMNS and numeric and len(history):
            found[record.number] = history
    return found


def _write_figure(figure: Figure, stem: Path, written: list[Path]) -> bytes:
    """Write a figure in every format; return the SVG."""
    content = render(figure)
    for kind, data in content.items():
        path = stem.with_name(f"{stem.name}.{kind}")
        atomic.write_bytes(path, data)
        written.append(path)
    return content["svg"]


def _write_tables(
    front: Front, tested: Mapping[int, float], folder: Path
) -> tuple[Path, Path, Path, Path, Path]:
    contents: Sequence[tuple[str, str]] = (
        ("front.csv", front_frame(front, tested).to_csv(index=False)),
        ("front.md", markdown(front_table(front, tested, plans=text_of))),
        ("front.tex", tex(front_table(front, tested, plans=summary_of))),
        ("trials.csv", trials_frame(front).to_csv(index=False)),
        ("origins.csv", origin_frame(front).to_csv(index=False)),
    )
    for name, text in contents:
        atomic.write_text(folder / name, text)
    csv, md, latex, trials, origins = (folder / name for name, _ in contents)
    return csv, md, latex, trials, origins


def _sweep(study: StudyLike, problems: list[str]) -> dict[str, Any]:
    """Return what the run's ``sweep.yaml`` says, nothing if there is none."""
    path = Path(study.path) / "sweep.yaml"
    if not path.is_file():
        return {}
    try:
        return yamlio.load(path)
    except AutocompressError as error:
        problems.append(str(error))
        return {}
