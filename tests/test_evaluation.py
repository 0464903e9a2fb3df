"""Evaluation: what pasting gives, what an oracle leaks, baselines as published, one path for one picture and for many."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL

import maelib
from maelib import MaskedAutoencoder, Masking
from maelib.datasets import load_dataset, read_image, resize_crop, sample_path
from maelib.evaluation import (
    FILLS,
    evaluate,
    evaluate_baselines,
    example_sheet,
    psnr,
    reconstruct,
    score_pictures,
    ssim,
    typical_and_worst,
)
from maelib.evaluation.baselines import SHIFTED, gaussian
from maelib.loss import normalize_patches, patch_statistics
from maelib.masking import gather_tokens, pixel_mask
from maelib.patches import patchify, unpatchify
from maelib.strategies import seeded


class Knowing(MaskedAutoencoder):
    """Predicts the truth, as far as its targets contain it."""

    def to_patches(self, images):
        self.truth = super().to_patches(images)
        self.decoder.all_patches = lambda latents, masking: self.targets()
        return self.truth

    def targets(self):
        return normalize_patches(self.truth) if self.config.normalize_targets else self.truth


def test_psnr_and_ssim_are_their_formulas():
    a, b = np.random.default_rng(0).random((2, 16, 16, 3))
    assert psnr(a, b) == pytest.approx(-10 * np.log10(((a - b) ** 2).mean()))
    # SSIM by hand (Wang et al. 2004), windows of 7 x 7, K = 0.01 and 0.03
    patches = [np.lib.stride_tricks.sliding_window_view(x, (7, 7), (0, 1)).reshape(10, 10, 3, 49) for x in (a, b)]
    (ma, mb), (va, vb) = ([p.mean(-1) for p in patches], [p.var(-1, ddof=1) for p in patches])
    cov = ((patches[0] - ma[..., None]) * (patches[1] - mb[..., None])).sum(-1) / 48
    by_hand = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    assert ssim(a, b) == pytest.approx(by_hand.mean(), abs=1e-9)
    where = np.zeros((16, 16), bool)
    where[3:9] = True
    assert psnr(a, b, where) == pytest.approx(-10 * np.log10(((a[3:9] - b[3:9]) ** 2).mean()))
    assert psnr(a, a) == 100
    assert ssim(a, a) == pytest.approx(1)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_pasting_gives_away_exactly_the_share_of_the_visible(small_model, pictures, ratio):
    for seed, picture in enumerate(pictures[:5]):
        scores = reconstruct(small_model, picture, ratio, seed).scores()
        gift = scores["pasted"]["psnr"] - scores["masked"]["psnr"]
        assert gift == pytest.approx(-10 * np.log10(ratio), abs=1e-4)


def test_what_was_visible_stays(small_model, pictures):
    r = reconstruct(small_model, pictures[0])
    assert np.array_equal(r.pasted[~r.hidden], r.original[~r.hidden])
    assert np.array_equal(r.masked[~r.hidden], r.original[~r.hidden])
    assert (r.masked[r.hidden] == 0.5).all()
    assert np.array_equal(r.pasted[r.hidden], r.raw[r.hidden])
    assert r.original.dtype == r.pasted.dtype == np.float32
    np.testing.assert_array_equal(r.original, pictures[0].astype(np.float32) / 255)
    assert not np.allclose(r.raw[~r.hidden], r.pasted[~r.hidden])
    assert r.patch_mse().shape == (4, 4)
    assert r.patch_mse().mean() == pytest.approx(np.square(r.raw - r.original).mean(), rel=1e-5)
    assert (r.hidden_patch_rmse()[~r.mask] == 0).all()
    np.testing.assert_allclose(r.hidden_patch_rmse()[r.mask] ** 2, r.patch_mse()[r.mask], rtol=1e-5)
    assert [stage is part for stage, part in zip(r.stages, (r.original, r.masked, r.raw, r.pasted), strict=True)]


@pytest.mark.parametrize("mean_std", [(0.0, 1.0), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
def test_a_model_that_knows_scores_perfectly(pictures, mean_std):
    model = Knowing(replace(SMALL, pixel_mean=mean_std[0], pixel_std=mean_std[1]))
    scores = evaluate(model, pictures, n=6, progress=False)
    assert scores["masked"]["psnr"] > 99
    assert scores["pasted"]["ssim"] > 0.9999


def test_the_oracle_puts_the_true_statistics_back(pictures):
    model = Knowing(replace(SMALL, normalize_targets=True))
    images = torch.from_numpy(pictures[:4]).permute(0, 3, 1, 2) / 255
    masking = seeded((4, 4), batch=4)
    with_oracle, _ = model.reconstruct(images, masking, oracle=True)
    torch.testing.assert_close(with_oracle, images, atol=1e-5, rtol=0)
    without, _ = model.reconstruct(images, masking)
    error = (without - images).square().mean()
    assert error > 1e-3, "without the oracle the statistics of hidden patches are unknown"
    # Every patch gets one mean and one spread, those of the visible patches on average.
    visible = gather_tokens(patchify(images, 8), masking.visible)
    expected = visible.mean((1, 2))
    inside = (without > 0) & (without < 1)
    assert inside.float().mean() > 0.9
    torch.testing.assert_close(patchify(without, 8).mean((1, 2)), expected, atol=0.02, rtol=0)


def test_figures_do_not_depend_on_the_batch_size_and_agree_with_one_picture(small_model, pictures):
    one, many = (evaluate(small_model, pictures, n=7, batch_size=b, progress=False) for b in (1, 5))
    for protocol in one:
        assert one[protocol]["psnr"] == pytest.approx(many[protocol]["psnr"], abs=1e-5)
    single = evaluate(small_model, pictures, n=1, seed=5, progress=False)
    scores = reconstruct(small_model, pictures[0], seed=5).scores()
    assert single["masked"]["psnr"] == pytest.approx(scores["masked"]["psnr"], abs=1e-4)
    assert single["pasted"]["ssim"] == pytest.approx(scores["pasted"]["ssim"], abs=1e-5)
    assert single["pasted"] | {"psnr": 0, "ssim": 0} == {"psnr": 0, "ssim": 0, "n": 1, "mask_ratio": 0.75, "seed": 5}
    assert "ssim" not in single["masked"]


def test_seeds_and_strategies_change_the_mask(small_model, pictures):
    masks = {
        reconstruct(small_model, pictures[0], seed=seed, strategy=strategy).mask.tobytes()
        for seed in (0, 1)
        for strategy in ("random", "block", "half")
    }
    assert len(masks) >= 4  # a half of a small grid may repeat


def test_a_mask_by_hand(small_model, pictures):
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True
    for given in (mask.ravel(), torch.from_numpy(mask).flatten()):
        assert np.array_equal(reconstruct(small_model, pictures[0], Masking.from_mask(given)).mask, mask)
    nothing = reconstruct(small_model, pictures[0], 0)
    assert np.array_equal(nothing.pasted, nothing.original)
    assert nothing.scores() == {"pasted": {"psnr": 100.0, "ssim": pytest.approx(1), "mask_ratio": 0.0}}
    with pytest.raises(ValueError, match="a masking of 1 x 9 patches does not fit 1 images of 16 patches"):
        reconstruct(small_model, pictures[0], Masking.from_mask(np.arange(9) > 3))


def test_missing_patches_are_not_scored(small_model, pictures):
    missing = torch.zeros(1, 16, dtype=torch.bool)
    missing[0, [0, 7, 9]] = True
    masking = seeded((4, 4), missing=missing)
    r = reconstruct(small_model, pictures[0], masking)
    assert np.array_equal(r.missing, missing.reshape(4, 4).numpy())
    assert r.mask[r.missing].all()
    spoiled = np.where(r.pixels(r.missing)[..., None], np.float32(0.9), r.raw)
    other = maelib.Reconstruction(r.original, spoiled, r.mask, missing=r.missing)
    assert other.scores() == r.scores()
    assert (r.hidden_patch_rmse()[r.missing] == 0).all()
    known = r.hidden & ~r.pixels(r.missing)
    assert r.scores()["masked"]["psnr"] == pytest.approx(psnr(r.original, r.raw, known))
    everything = ~r.pixels(r.missing)
    assert r.scores()["pasted"]["psnr"] == pytest.approx(psnr(r.original, r.pasted, everything))
    assert maelib.Reconstruction(r.original, spoiled, r.mask).scores() != r.scores()


@pytest.mark.parametrize(("channels", "hw"), [(1, (32, 32)), (3, (16, 48))])
def test_other_shapes_of_model_take_any_photograph(channels, hw):
    model = MaskedAutoencoder(replace(SMALL, image_size=hw, channels=channels))
    r = maelib.reconstruct(model, sample_path("chelsea"))
    assert r.original.shape == (*hw, channels)
    panel = r.panel()
    assert panel.mode == "RGB"
    assert panel.width > 4 * hw[1]


def test_pictures_of_other_bands_than_the_models_are_refused(pictures):
    with pytest.raises(ValueError, match="has 3 bands, the model takes 5"):
        reconstruct(MaskedAutoencoder(replace(SMALL, channels=5)), pictures[0])


def test_article_protocol_is_for_its_models_only(small_model, pictures):
    with pytest.raises(ValueError, match="'article' applies to 224-pixel models with normalised targets only"):
        evaluate(small_model, pictures, ["article"])
    model = MaskedAutoencoder(replace(SMALL, image_size=224, patch_size=56, normalize_targets=True))
    assert set(evaluate(model, pictures, n=2, progress=False)) == {"article", "pasted", "masked"}
    scores = reconstruct(model, pictures[0]).scores()
    assert scores["article"]["psnr"] != scores["pasted"]["psnr"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be from 1 to the 48 pictures"),
        ({"n": 49}, "n must be from 1 to the 48 pictures of the data, got 49"),
        ({"protocols": ["nice"]}, "protocol must be one of article, pasted, masked, got nice"),
        ({"mask_ratio": 1e-17}, "hides none of the patches"),
        ({"mask_ratio": 1.5}, "mask_ratio must be in"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(small_model, pictures, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(small_model, pictures, progress=False, **options)


# -- baselines -----------------------------------------------------------------------------------------------------------


def test_fills_use_visible_pixels_only_unless_they_are_oracles():
    images, noise = torch.rand(2, 3, 32, 32), torch.rand(2, 16)
    mask = noise > noise.median()
    visible = (~pixel_mask(mask, 8, (4, 4))).float()
    changed = torch.where(visible.bool(), images, torch.rand_like(images))
    for name in ("visible_mean", "gaussian", "diffusion"):
        torch.testing.assert_close(FILLS[name](images, visible, 8), FILLS[name](changed, visible, 8))
    for name in ("patch_mean", "patch_channel_mean"):
        assert not torch.allclose(FILLS[name](images, visible, 8), FILLS[name](changed, visible, 8))


def test_oracles_have_the_mean_of_every_patch():
    images = torch.rand(2, 3, 16, 24)
    fill = FILLS["patch_channel_mean"](images, torch.ones(2, 1, 16, 24), 8)
    assert fill.shape == images.shape
    torch.testing.assert_close(fill[1, 2, 8:, 16:], images[1, 2, 8:, 16:].mean().expand(8, 8))
    torch.testing.assert_close(FILLS["patch_mean"](images, images, 8)[0, 1, 0, 0], images[0, :, :8, :8].mean())


def test_the_gaussian_is_a_normalised_convolution():
    from scipy.ndimage import gaussian_filter

    images, visible = torch.rand(1, 3, 64, 64), (torch.rand(1, 1, 64, 64) < 0.4).float()
    weight = gaussian_filter(visible[0, 0].numpy(), 3, mode="constant")
    for channel in range(3):
        total = gaussian_filter((images * visible)[0, channel].numpy(), 3, mode="constant")
        np.testing.assert_allclose(gaussian(images, visible, 4)[0, channel].numpy(), total / weight, atol=1e-4)


def test_diffusion_is_the_solution_of_laplaces_equation():
    """Against a sparse direct solver: the mean of the four neighbours in every hidden pixel, the border closed."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import spsolve

    image = (
        torch.from_numpy(np.array(resize_crop(read_image(sample_path("chelsea")), 32, 32))).permute(2, 0, 1)[None] / 255
    )
    hidden = pixel_mask(seeded((8, 8), seed=3).mask, 4, (8, 8))[0, 0].numpy()
    number = np.cumsum(hidden).reshape(hidden.shape) - 1
    entries, known = [], np.zeros((hidden.sum(), 3))
    for y, x in np.argwhere(hidden):
        for other in ((y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)):
            if 0 <= other[0] < 32 and 0 <= other[1] < 32:
                entries.append((number[y, x], number[y, x], 1.0))
                if hidden[other]:
                    entries.append((number[y, x], number[other], -1.0))
                else:
                    known[number[y, x]] += image[0, :, *other].numpy()
    rows, columns, values = zip(*entries, strict=True)
    exact = spsolve(csr_matrix((values, (rows, columns)), shape=(len(known), len(known))), known)
    filled = FILLS["diffusion"](image, torch.from_numpy(~hidden)[None, None].float(), 4)[0].permute(1, 2, 0).numpy()
    assert np.abs(filled[hidden] - exact).mean() < 2e-3
    assert np.array_equal(filled[~hidden], image[0].permute(1, 2, 0).numpy()[~hidden])


def test_the_published_baselines_are_reproduced(real_data):
    """The table that any model is shown beside: within 0.15 dB and 0.01."""
    val = load_dataset(real_data, "val", progress=False)
    cheap = ("visible_mean", "gaussian", "patch_mean", "patch_channel_mean")
    at_64 = evaluate_baselines(val, n=1000, protocols=["masked"], fills=cheap, progress=False)
    pasted = evaluate_baselines(val, n=300, protocols=["pasted"], fills=cheap, progress=False)
    large = evaluate_baselines(val, 224, 16, ["pasted"], cheap, n=300, progress=False)
    published = {  # pasted at 224, masked, pasted
        "visible_mean": ((14.95, 0.468), 13.16, (14.41, 0.321)),
        "gaussian": ((18.35, 0.565), 16.40, (17.65, 0.508)),
        "patch_mean": ((18.97, 0.542), None, None),
        "patch_channel_mean": ((21.74, 0.590), 19.36, (20.61, 0.670)),
    }
    for fill, (a, masked, p) in published.items():
        assert large[fill]["pasted"]["psnr"] == pytest.approx(a[0], abs=0.15)
        assert large[fill]["pasted"]["ssim"] == pytest.approx(a[1], abs=0.01)
        if masked is not None:
            assert at_64[fill]["masked"]["psnr"] == pytest.approx(masked, abs=0.15)
            assert pasted[fill]["pasted"]["psnr"] == pytest.approx(p[0], abs=0.15)
            assert pasted[fill]["pasted"]["ssim"] == pytest.approx(p[1], abs=0.01)


@pytest.mark.audit
def test_fills_with_the_oracle_have_their_published_scores(real_data):
    """Beside a model that is given each hidden patch's true mean and deviation; 100 pictures."""
    val = load_dataset(real_data, "val", progress=False)
    oracle = evaluate_baselines(val, 224, 16, ["article"], n=100, progress=False)
    with_the_oracle = {
        "patch_mean": 18.91, "gaussian": 20.67, "diffusion": 22.07, "gaussian_shifted": 21.41, "diffusion_shifted": 22.53,
    }  # fmt: skip
    for fill, psnr_of_it in with_the_oracle.items():
        assert oracle[fill]["article"]["psnr"] == pytest.approx(psnr_of_it, abs=0.05), fill


def test_a_fill_gets_the_oracle_that_a_model_gets(pictures):
    """A model that says what a fill says has the fill's score, under `article`, too."""
    model = MaskedAutoencoder(replace(SMALL, image_size=224, patch_size=16, normalize_targets=True)).eval()
    c = model.config

    def as_filled(images, masking=0.75, oracle=False):
        visible = (~pixel_mask(masking.mask, c.patch_size, c.grid)).float()
        patches = normalize_patches(patchify(gaussian(images, visible, c.patch_size), c.patch_size))
        mean, std = patch_statistics(patchify(images, c.patch_size))
        return unpatchify(patches * std + mean, c.patch_size, c.grid), masking.mask

    model.reconstruct = as_filled
    expected = evaluate(model, pictures, ("article",), n=3, progress=False)["article"]
    found = evaluate_baselines(pictures, 224, 16, ("article",), ("gaussian", "gaussian_shifted"), n=3, progress=False)
    assert found["gaussian"]["article"]["psnr"] == pytest.approx(expected["psnr"], abs=1e-3)
    assert found["gaussian_shifted"]["article"]["psnr"] != pytest.approx(expected["psnr"], abs=1e-3)


def test_a_shifted_fill_keeps_its_pattern_and_has_the_true_means():
    images, visible = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    visible[:, :, 8:24] = 0
    plain, shifted = (patchify(f(images, visible, 8), 8) for f in (FILLS["diffusion"], SHIFTED["diffusion_shifted"]))
    torch.testing.assert_close(shifted.mean(-1), patchify(images, 8).mean(-1))
    torch.testing.assert_close(shifted - shifted.mean(-1, keepdim=True), plain - plain.mean(-1, keepdim=True))


def test_means_are_those_of_the_pictures_and_these_do_not_depend_on_the_batch(small_model, pictures):
    found = score_pictures(small_model, pictures, n=7, batch_size=3, progress=False)
    again = score_pictures(small_model, pictures, n=7, batch_size=7, progress=False)
    means = evaluate(small_model, pictures, n=7, progress=False)
    assert found["pasted"].shape == found["masked"].shape == (7, 2)
    assert np.isnan(found["masked"][:, 1]).all()
    for protocol in ("pasted", "masked"):
        np.testing.assert_allclose(found[protocol], again[protocol], atol=1e-4)
        assert means[protocol]["psnr"] == pytest.approx(found[protocol][:, 0].mean(), abs=1e-4)
    assert means["pasted"]["ssim"] == pytest.approx(found["pasted"][:, 1].mean(), abs=1e-5)


def test_examples_are_the_nearest_to_the_median_and_the_lowest():
    figures = np.random.default_rng(0).normal(18, 3, 101)
    typical, worst = typical_and_worst(figures, 5, 3)
    order = figures.argsort()
    assert set(typical) <= set(order[45:56])
    assert typical[0] == order[50]
    assert worst.tolist() == order[:3].tolist()
    assert [len(part) for part in typical_and_worst(figures[:2])] == [2, 2]  # fewer pictures than places


def test_a_sheet_shows_each_picture_as_it_was_scored(small_model, pictures, monkeypatch):
    shown = []
    monkeypatch.setattr("maelib.evaluation.reconstruction.labelled_sheets", shown.extend)
    figures = score_pictures(small_model, pictures, mask_ratio=0.6, seed=3, progress=False)["masked"][:, 0]
    example_sheet(small_model, pictures, figures, mask_ratio=0.6, seed=3, typical=3, worst=2)
    (_, typical), (_, worst) = shown
    assert (len(typical), len(worst)) == (3, 2)
    for (label, (original, masked, raw, pasted)), i in zip(worst, figures.argsort(), strict=False):
        assert label == f"no. {i}: {figures[i]:.1f} dB"
        hidden = (masked != original).any(-1)
        assert psnr(original / 255, raw / 255, hidden) == pytest.approx(figures[i], abs=0.02)  # rounded to 8 bits
        assert np.array_equal(original, pictures[i])
        assert np.array_equal(pasted[~hidden], original[~hidden])
