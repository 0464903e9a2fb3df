"""Another embedded model needs its files made anew and nothing else: patches of another size, another width."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from book_site import serve
from live_site import Watched, build_site, names, painted_as_in_the_page, shown

from maelib import MAEConfig, MaskedAutoencoder, save
from maelib.datasets import sample_path, samples
from maelib.evaluation.reconstruction import picture_for
from maelib.explorers import attention
from maelib.explorers import state as explorer_state

CONFIG = MAEConfig(
    image_size=48, patch_size=8, width=64, depth=3, heads=2, decoder_width=32, decoder_depth=1, decoder_heads=2,
    normalize_targets=True, pixel_mean=0.45, pixel_std=0.25,
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model after a few steps on the shipped pictures."""
    torch.manual_seed(0)
    model = MaskedAutoencoder(CONFIG)
    pictures = np.stack([picture_for(sample_path(name), CONFIG) for name in samples()])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(30):
        optimizer.zero_grad()
        model(images).loss.backward()
        optimizer.step()
    return save(model, tmp_path_factory.mktemp("weights") / "other.safetensors")


@pytest.fixture(scope="module")
def _other_model(weights: Path) -> Iterator[None]:
    """Python's side with the same weights."""
    caches = (explorer_state.embedded_model, attention.attention_of_example)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer_state, "EMBEDDED", str(weights))
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.audit
@pytest.mark.usefixtures("_other_model")
def test_another_model_needs_no_other_page(browser: Any, weights: Path, tmp_path: Path):
    with serve(build_site(tmp_path, tmp_path / "cache", weights)) as url:
        watched = Watched(browser, url + "deep/all.html", reduced_motion="reduce")
        i = names().index("reconstruction")
        for change in (
            {},
            {"ratio": 40, "strategy": "block"},
            {"view": "raw"},
            {"strategy": "hand", "hand": "10" * 32},
        ):
            state = explorer_state.DEFAULT | {"view": "pasted"} | change
            sent = {key: value for key, value in state.items() if key != "own"}
            move = "(s) => void document.querySelector('.maelib-pair').driver.set(s)"
            watched.after(i, "model", lambda s=sent, m=move: watched.page.evaluate(m, s))
            wanted = explorer_state.views(painted_as_in_the_page(state))[state["view"]]
            assert np.abs(shown(watched).astype(int) - wanted).max() <= 2
            assert "of 36 patches hidden" in watched.page.locator("input[type=range]").get_attribute("aria-valuetext")
        for name in ("mask", "attention", "position"):
            i = names().index(name)
            from live_assets import explorer_class

            explorer = explorer_class(name)()
            for role, picture in explorer.render(explorer.state()).pictures.items():
                assert np.array_equal(watched.pixels(i, role), picture), f"{name} {role}"
            slider = watched.place(i).locator("[role=slider]").first
            watched.after(i, "frames", lambda s=slider: s.press("ArrowLeft"))
        watched.assert_clean()
