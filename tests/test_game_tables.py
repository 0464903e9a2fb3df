"""The game's tables: what a search keeps is better than chance, and they belong to the weights that are shipped."""

import json
import sys

import numpy as np
from conftest import ROOT

from maelib.evaluation import reconstruct
from maelib.explorers.state import embedded_model, hidden_by_hand, pixels_of
from maelib.masking import Masking

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import game_tables
import live_assets


def test_a_search_keeps_the_same_patches_every_time_and_its_score_is_the_packages(small_model, monkeypatch):
    monkeypatch.setattr(game_tables, "samples", lambda: ("chelsea", "coffee"))
    made = game_tables.tables(small_model, masks=20, candidates=4, swaps=3)
    assert made == game_tables.tables(small_model, masks=20, candidates=4, swaps=3)
    for name, table in made["samples"].items():
        assert len(table["quantiles"]) == 101
        assert table["quantiles"] == sorted(table["quantiles"])
        hidden = hidden_by_hand(table["search"]["hidden"], small_model.config.grid)
        assert (~hidden).sum() == max(1, hidden.size // 4)
        masking = Masking.from_mask(game_tables.torch.from_numpy(hidden.flatten()))
        r = reconstruct(small_model, pixels_of({"sample": name}, small_model.config), masking)
        assert abs(r.scores()["pasted"]["psnr"] - table["search"]["psnr"]) < 0.002


def test_the_shipped_tables_belong_to_the_shipped_weights():
    """Else the pages compare with figures of another model: run `make artifacts`."""
    made = json.loads(game_tables.path().read_text())
    model = embedded_model()
    assert made["weights"] == game_tables.fingerprint(model)
    for table in made["samples"].values():
        assert table["search"]["psnr"] > table["quantiles"][95], "a search finds better than nearly all random masks"
    original = game_tables.torch.from_numpy(pixels_of({"sample": "chelsea"}, model.config).transpose(2, 0, 1).copy())[
        None
    ]
    hidden = hidden_by_hand(made["samples"]["chelsea"]["search"]["hidden"], model.config.grid).reshape(1, -1)
    assert abs(game_tables.scored(model, original, hidden)[0] - made["samples"]["chelsea"]["search"]["psnr"]) < 0.01


def test_tables_of_other_weights_are_left_out(small_model):
    assert live_assets.game_of(embedded_model())
    assert live_assets.game_of(small_model) == {}
    assert np.isfinite(live_assets.game_of(embedded_model())["chelsea"]["quantiles"]).all()
