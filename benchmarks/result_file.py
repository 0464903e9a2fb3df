"""Result files of benchmarks, as the book reads them from data/results."""

import json
from pathlib import Path
from typing import Any

from maelib.hardware import describe_hardware, describe_software


def write_result(path: Path, table: list[dict[str, Any]], **fields: Any) -> None:
    """Write a benchmark's table with what a reader needs to judge it, and where it was measured: here, now.

    A field may replace one of these, such as `kind`, or None leaves it out.
    """
    measured = {"hardware": describe_hardware(), "software": describe_software()}
    record = {"kind": "benchmark", "name": path.stem, **measured, **fields, "table": table}
    record = {key: value for key, value in record.items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
