"""Claims: a sentence is held to a number, recorded where asked, left out of the page, and false on models that know nothing."""

import json
import sys

import nbformat
import pytest
from conftest import ROOT

from maelib.claims import RECORD, claim

sys.path.insert(0, str(ROOT / "benchmarks"))
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CLAIMING = [path for path in CHAPTERS if any("claim(" in cell.source for cell in nbformat.read(path, 4).cells)]


@pytest.mark.parametrize(
    ("value", "bounds", "holds"),
    [
        (1.0, {"above": 0.5}, True), (0.5, {"above": 0.5}, False), (1.0, {"below": 0.5}, False),
        (0.6, {"above": 0.5, "below": 0.7}, True), (float("nan"), {"above": 0.5}, False), (float("inf"), {"above": 1}, False),
    ],
)  # fmt: skip
def test_a_claim_is_held_to_its_bounds(value, bounds, holds, monkeypatch, tmp_path):
    monkeypatch.delenv(RECORD, raising=False)
    if holds:
        claim("it grows", value, **bounds)
    else:
        with pytest.raises(AssertionError, match="does not hold here: 'it grows'; the value is"):
            claim("it grows", value, **bounds)
    monkeypatch.setenv(RECORD, str(tmp_path / "lines"))
    claim("it grows", value, **bounds)  # recorded, not raised
    (line,) = map(json.loads, (tmp_path / "lines").read_text().splitlines())
    assert line["holds"] is holds
    assert bounds.items() <= line.items()


def test_a_claim_without_a_bound_is_none():
    with pytest.raises(ValueError, match="give above= or below="):
        claim("it grows", 1.0)


@pytest.mark.parametrize("path", CLAIMING, ids=lambda path: path.stem[:2])
def test_claims_stand_in_cells_of_their_own_that_the_page_leaves_out(path):
    for cell in nbformat.read(path, 4).cells:
        tags = cell.metadata.get("tags", [])
        assert ("claim" in tags) == (cell.cell_type == "code" and "claim(" in cell.source), cell.id
        if "claim" in tags:
            assert "remove-cell" in tags, f"{cell.id} would be shown"
            assert not cell.outputs


@pytest.mark.audit
def test_claims_are_recorded_with_another_seed_and_fail_on_models_that_have_learned_nothing():
    import claims

    path = ROOT / "notebooks" / "08_measuring.ipynb"
    own, other = claims.claims_of(path), claims.claims_of(path, seed=1)
    assert [line["claim"] for line in own] == [line["claim"] for line in other]
    assert any(a["value"] != b["value"] for a, b in zip(own, other, strict=True)), "another seed, the same numbers"
    assert all(line["holds"] for line in own)
    untrained = {line["claim"]: line["holds"] for line in claims.claims_of(path, untrained=True)}
    about_the_model = [line["claim"] for line in own if line["claim"].startswith("the model ")]
    assert about_the_model
    assert not any(untrained.get(sentence) for sentence in about_the_model)
