"""Tables of sensitivities as files for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from autocompress.sensitivity.calibration import Calibration
from autocompress.sensitivity.pairs import Pair
from autocompress.sensitivity.table import Sensitivity
from autocompress.storage.atomic import write_text


def write_files(
    folder: Path,
    table: Sensitivity,
    *,
    pairs: Sequence[Pair] = (),
    calibrations: Sequence[Calibration] = (),
) -> list[Path]:
    """Write ``sensitivity.csv`` (the rows) and ``sensitivity.json`` (everything).

    Args:
        folder: Where to; created if missing.
        table: The sensitivities.
        pairs: Interactions.
        calibrations: Comparisons of predictions with what came.

    Returns:
        The files.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, whole = folder / "sensitivity.csv", folder / "sensitivity.json"
    write_text(rows, table.to_frame().to_csv(index=False))
    data = {
        **table.to_dict(),
        "pairs": [pair.to_dict() for pair in pairs],
        "calibrations": [calibration.to_dict() for calibration in calibrations],
    }
    write_text(whole, json.dumps(data, indent=1))
    return [rows, whole]
