"""Whether trials were timed on machines whose times can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from autocompress.explore.record import TrialRecord

HARDWARE = "hardware"
"""Where a study notes the machine that the uncompressed model was measured on."""
TIMED = "latency"
"""How the names of metrics begin that depend on the machine."""
_ALIKE = ("cpu", "gpu", "system", "torch")
"""What two machines have in common whose times can be compared."""
_SHOWN = 5


def timed_apart(
    records: Iterable[TrialRecord],
    metrics: Iterable[str],
    reference: Mapping[str, str] | None = None,
) -> list[str]:
    """Return what to be warned of where trials are compared by latency: one line each.

    Args:
        records: The trials; one whose machine is not known (of an earlier version) is passed over.
        metrics: What they are compared by.
        reference: The machine that the uncompressed model was measured on, if it is known.
    """
    by = [name for name in metrics if name.startswith(TIMED)]
    if not by:
        return []
    machines: dict[tuple[str, ...], list[int]] = {}
    for record in records:
        if record.hardware and any(name in record.metrics for name in by):
            machines.setdefault(_machine(record.hardware), []).append(record.number)
    what = " and ".join(by)
    told = []
    if len(machines) > 1:
        parts = "; ".join(f"{_text(key)}: {_numbers(found)}" for key, found in machines.items())
        told.append(
            f"{what} was measured on {len(machines)} different machines, whose times cannot be "
            f"compared: {parts}"
        )
    if reference and machines and _machine(reference) not in machines:
        told.append(
            f"{what} of the uncompressed model was measured on another machine than that of the "
            f"trials: {_text(_machine(reference))}"
        )
    return told


def _machine(hardware: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(str(hardware.get(key, "")) for key in _ALIKE)


def _text(machine: tuple[str, ...]) -> str:
    named = dict(zip(_ALIKE, machine, strict=True))
    named["torch"] = f"torch {named['torch']}" if named["torch"] else ""
    return ", ".join(value for value in named.values() if value)


def _numbers(found: Sequence[int]) -> str:
    shown = ", ".join(map(str, found[:_SHOWN]))
    more = f" and {len(found) - _SHOWN} others" if len(found) > _SHOWN else ""
    return f"trial{'s' * (len(found) > 1)} {shown}{more}"
