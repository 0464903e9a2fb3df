"""What newcomers to the repository are told: it exists, it is valid, and it is what the project itself runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()
GUIDES = [ROOT / "CONTRIBUTING.md", ROOT / "RELEASE.md", ROOT / ".github" / "pull_request_template.md"]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_what_the_guides_name_exists(guide):
    """Make targets, files and folders; but for names that stand for others, such as NN_name."""
    text = guide.read_text()
    targets = re.findall(r"(?:^|`)make (\w+)", text, re.M)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.M), target
    paths = re.findall(r"(?<![\w/.])(?:\.?\w[\w.]*/)+(?:\w[\w.-]*)?|\b_?\w+\.(?:py|yml|cff|md)\b", text)
    paths = [path for path in paths if "NN_name" not in path and not path.startswith((".venv/bin", "pre-commit.com"))]
    assert len(paths) > 1 or guide.name != "CONTRIBUTING.md"
    for path in paths:
        assert (ROOT / path).exists(), path


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 80


def test_pre_commit_runs_what_make_lint_runs():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)[1]
    called = {tuple(shlex.split(line)[1:2]) for line in lint.splitlines() if "/ruff" in line}
    assert {tuple(shlex.split(hook["entry"])[1:2]) for hook in hooks} == called == {("check",), ("format",)}
    for hook in hooks:  # no second list of versions: the ruff of the environment
        assert Path(shlex.split(hook["entry"])[0]) == Path(".venv/bin/ruff")
        assert hook["language"] == "system"


def test_issue_forms_are_valid(tmp_path):
    """Against the schema that check-jsonschema brings along; and a broken one is noticed."""
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema"]
    forms = [path for path in FORMS if path.stem != "config"]
    assert len(forms) >= 3
    done = subprocess.run([*command, "vendor.github-issue-forms", *forms], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    config = ROOT / ".github/ISSUE_TEMPLATE/config.yml"
    done = subprocess.run([*command, "vendor.github-issue-config", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text(forms[0].read_text().replace("type: textarea", "type: text", 1))
    assert subprocess.run([*command, "vendor.github-issue-forms", broken], capture_output=True).returncode != 0
