"""Result files of benchmarks, as the book reads them from data/results."""

import json
from pathlib import Path
from typing import Any

from maelib.hardware import describe_hardware, describe_software


def write_result(path: Path, table: list[dict[str, Any]], **fields: Any) -> None:
    """Write a benchmark's table with what a reader needs to judge it, and where it was measured: here, now."""
    record = {"kind": "benchmark", "name": path.stem, **fields}
    record |= {"hardware": describe_hardware(), "software": describe_software(), "table": table}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
