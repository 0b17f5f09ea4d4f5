"""The report as one page: nothing is loaded from anywhere, so it can be mailed as it is."""

from __future__ import annotations

import html
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from autocompress import yamlio
from autocompress.analysis.front import Front
from autocompress.analysis.onesided import Found
from autocompress.analysis.saving import saved_text
from autocompress.analysis.text import plan_text
from autocompress.analysis.units import format_value
from autocompress.report.css import CSS
from autocompress.report.markup import Picture, figure, section, table
from autocompress.report.proposals import origin_table
from autocompress.report.tables import Table, front_table, text_of

_ROWS = 200  # rows of the front's table; all are in front.csv
_MESSAGES = 20  # different failures told


def page(
    front: Front,
    *,
    name: str,
    test: Mapping[int, float],
    pictures: Sequence[Picture],
    run: Mapping[str, Any],
    problems: Sequence[str] = (),
    files: Sequence[str] = (),
    found: Found | None = None,
    foretold: str = "",
) -> str:
    """Return the page, HTML 5.

    Args:
        front: The front and the trials it was taken from.
        name: What to call the run.
        test: Accuracy on the test split, a fraction, by trial number.
        pictures: The plots.
        run: What ``sweep.yaml`` says; may be empty.
        problems: What went wrong while the report was made.
        files: Names of the files beside the page, to link to.
        found: What a search for a target has found.
        foretold: How well sensitivities foretold the trials, a sentence.
    """
    sections = [
        _head(front, name, run),
        _problems(problems),
        _summary(front, test),
        section("Target", _target(found, test)),
        section("Plots", "".join(map(figure, pictures)), "figures"),
        section("Front", _front(front, test)),
        section("Proposals", _proposals(front, foretold)),
        section("Objectives", _objectives(front)),
        section("All trials", _statuses(front)),
        section("Run", _run(run, files)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(name)}: autocompress report</title>\n<style>\n{CSS}</style>\n"
        f"</head>\n<body>\n<main>\n{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def _head(front: Front, name: str, run: Mapping[str, Any]) -> str:
    parts = []
    if isinstance(run.get("model"), str) and isinstance(run.get("data"), str):
        parts.append(f"{run['model']} on {run['data']}")
    space = run.get("space")
    if isinstance(space, Mapping):  # written out, as a run's own file has it
        space = space.get("name")
    if isinstance(space, str):
        parts.append(f"search space {space}")
    parts.append(f"objectives {front.objectives.name}")
    if "seed" in run:
        parts.append(f"seed {run['seed']}")
    return f"<h1>{html.escape(name)}</h1>\n<p class=what>{html.escape(', '.join(parts))}</p>\n"


def _problems(problems: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(text)}</li>" for text in problems)
    return f"<ul class=problems>{items}</ul>\n" if problems else ""


def _summary(front: Front, test: Mapping[int, float]) -> str:
    knee = front.knee()
    complete = sum(record.status == "complete" for record in front.considered)
    seconds = sum(r.seconds for r in front.considered if math.isfinite(r.seconds))
    facts = [
        ("trials", str(len(front.considered))),
        ("complete", str(complete)),
        ("on the front", str(len(front))),
        ("hypervolume", f"{front.hypervolume():.4g}"),
        ("knee", f"trial {knee.number}" if knee else "none"),
        ("time of all trials", _duration(seconds)),
    ]
    cards = "".join(f"<div><dt>{key}</dt><dd>{html.escape(v)}</dd></div>" for key, v in facts)
    text = ""
    if knee is not None:
        values = ", ".join(
            f"{metric} {format_value(metric, knee.metrics[metric])}"
            for metric in front.objectives.names
        )
        if knee.number in test:
            values += f", test accuracy {format_value('accuracy', test[knee.number])}"
        text = f"The knee, trial {knee.number}: {values}; {plan_text(knee.candidate)}."
    elif not len(front):
        text = "No trial can be ranked yet: none is complete with every objective measured."
    return f"<dl class=cards>{cards}</dl>\n<p>{html.escape(text)}</p>\n"


def _target(found: Found | None, test: Mapping[int, float]) -> str:
    if found is None:
        return ""
    lines = found.reason.splitlines()
    if found.record is not None:
        plan = plan_text(found.record.candidate)
        if found.record.number in test:
            value = format_value("accuracy", test[found.record.number])
            plan = f"test accuracy {value}; {plan}"
        lines.append(plan)
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _front(front: Front, test: Mapping[int, float]) -> str:
    text = (
        "<p>Accuracy, error and loss are measured on the <strong>validation</strong> split: the "
        "search chose by it, so it flatters the front a little. "
    )
    text += (
        "<strong>Test</strong> accuracy was measured afterwards, for these trials only; nothing "
        "was chosen by it.</p>"
        if test
        else "Test accuracy was not measured.</p>"
    )
    if not len(front):
        return f"{text}<p>The front is empty.</p>"
    if front.noise is not None:
        text += (
            f"<p>Trials on and near the front were run again under other seeds: intervals are "
            f"Student&#8217;s, for the mean over seeds ({100 * front.noise.level:.0f} %); "
            f"P(non-dominated) is the probability that no other trial&#8217;s mean dominates. "
            f"The search chose by the first seed, which is luckier than the others.</p>"
        )
    whole = front_table(front, test, plans=text_of)
    shown = whole._replace(rows=whole.rows[:_ROWS])
    hidden = len(whole.rows) - len(shown.rows)
    more = f"<p>{hidden} more rows are in front.csv.</p>" if hidden else ""
    knee = front.knee()
    return text + table(shown, mark=str(knee.number) if knee else "") + more


def _proposals(front: Front, foretold: str) -> str:
    if not front.considered:
        return ""
    text = table(origin_table(front))
    return text + (f"<p>{html.escape(foretold)}</p>" if foretold else "")


def _objectives(front: Front) -> str:
    rows = []
    for item in front.objectives.items:
        worst = item.worst
        rows.append(
            (
                item.metric,
                item.direction,
                item.scale,
                format_value(item.metric, front.reference.get(item.metric, math.nan)),
                worst if isinstance(worst, str) else format_value(item.metric, worst),
                "" if item.limit is None else format_value(item.metric, item.limit),
            )
        )
    header = ("metric", "direction", "scale", "reference model", "hypervolume from", "hard limit")
    left = (True, True, True, False, False, False)
    return (
        table(Table(header, tuple(rows), left))
        + "<p>The hypervolume is the volume between the front and the point “hypervolume from”, "
        "in powers of ten for objectives on a log scale. It never falls as trials are added.</p>"
    )


def _statuses(front: Front) -> str:
    counts = Counter(record.status.value for record in front.considered)
    rows = tuple((name, str(count)) for name, count in counts.most_common())
    if not rows:
        return "<p>There are no trials yet.</p>"
    text = table(Table(("status", "trials"), rows, (True, False)))
    refused = sum(record.refused for record in front.considered)
    if refused:
        text += f"<p>Refused before any training, for breaking a hard limit: {refused}.</p>"
    if saving := saved_text(front.considered):
        text += f"<p>{saving.capitalize()}.</p>"
    failures = Counter((r.status.value, r.message) for r in front.considered if r.status.failed)
    if failures:
        told = tuple(
            (status, message or "no message", str(count))
            for (status, message), count in failures.most_common(_MESSAGES)
        )
        text += "<h3>Failures</h3>"
        text += table(Table(("status", "message", "trials"), told, (True, True, False)))
        if len(failures) > _MESSAGES:
            text += f"<p>{len(failures) - _MESSAGES} other messages are in trials.csv.</p>"
    return text


def _run(run: Mapping[str, Any], files: Sequence[str]) -> str:
    resolved = run.get("resolved", {})
    facts: dict[str, Any] = {}
    if isinstance(resolved, Mapping):
        for key in ("versions", "hardware"):
            found = resolved.get(key, {})
            facts |= found if isinstance(found, Mapping) else {key: found}
        facts |= {"begun": resolved["written"]} if "written" in resolved else {}
    facts["report written"] = time.strftime("%Y-%m-%d %H:%M:%S %z")
    rows = tuple((str(key), str(value)) for key, value in facts.items())
    text = table(Table(("", ""), rows, (True, True)))
    if run:
        sweep = html.escape(yamlio.dumps(run))
        text += f"<details><summary>sweep.yaml</summary><pre>{sweep}</pre></details>"
    links = ", ".join(
        f'<a href="{html.escape(name, quote=True)}">{html.escape(name)}</a>' for name in files
    )
    return text + (f"<p>Files: {links}.</p>" if files else "")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
