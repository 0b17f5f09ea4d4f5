"""Write the report of a study: tables, plots and a page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autocompress import yamlio
from autocompress.analysis.front import Front
from autocompress.analysis.hardware import HARDWARE, timed_apart
from autocompress.analysis.onesided import Found
from autocompress.errors import AutocompressError
from autocompress.explore.record import TrialRecord
from autocompress.report.figures import figures
from autocompress.report.html import page
from autocompress.report.markup import Picture
from autocompress.report.pareto_info import pairs
from autocompress.report.proposals import (
    calibrate,
    calibration_frame,
    calibration_text,
    origin_frame,
)
from autocompress.report.source import StudyLike
from autocompress.report.style import render
from autocompress.report.tables import (
    front_frame,
    front_table,
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
    from matplotlib.figure import Figure


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

    problems = timed_apart(study.records(), study.objectives.names, study.note(HARDWARE))
    calibration = _calibration(study, front, problems)
    tested: dict[int, float] = {}
    for done, record in enumerate(front):
        tell(done, f"test accuracy of trial {record.number}")
        value = _tested(study, record, test, problems)
        if value is not None:
            tested[record.number] = value
    pictures: list[Picture] = []
    written: list[Path] = []
    drawn = figures(front, Path(study.path), tested, calibration)
    for done, (name, caption, figure) in enumerate(drawn, len(front)):
        tell(done, f"plot {name}")
        pictures.append(Picture(name, caption, _write_figure(figure, folder / name, written)))
    tell(total - 1, "tables and page")
    tables = _write_tables(front, tested, folder)
    found = study.found()
    others = _write_others(found, calibration, folder)
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


def _write_others(found: Found | None, calibration: Calibration | None, folder: Path) -> list[Path]:
    """Write what only some studies have; return the files."""
    contents = {}
    if calibration is not None:
        contents["calibration.csv"] = calibration_frame(calibration).to_csv(index=False)
    if found is not None:
        contents["answer.json"] = json.dumps(found.to_dict(), indent=2) + "\n"
    for name, text in contents.items():
        atomic.write_text(folder / name, text)
    return [folder / name for name in contents]


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
