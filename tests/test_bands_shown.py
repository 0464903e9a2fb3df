"""Pictures of other bands and ranges than photographs, as people see them: panels, sheets, explorers, application, figures."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL
from datasets_helpers import tiff, write_scenes
from PIL import Image
from skimage.exposure import rescale_intensity
from test_explorers import upload

import maelib
from maelib import MaskedAutoencoder
from maelib.cli import main
from maelib.datasets import ImageError, PackedImages, Values
from maelib.drawing import Look, bands_shown, to_uint8
from maelib.evaluation import example_sheet, reconstruct
from maelib.explorers import ReconstructionExplorer
from maelib.explorers import state as explorer_state
from maelib.figures import plt, show_pictures

KINDS = {"uint16": Values(0, 5000, "uint16"), "float32": Values(-1, 4, "float32")}


def picture(bands: int, kind: str = "uint16", seed: int = 0) -> np.ndarray:
    """(32, 32, bands): every band with another level and spread, all in the lower third of the range."""
    random = np.random.default_rng(seed)
    unit = (random.random((32, 32, bands)) * np.linspace(0.05, 0.2, bands) + np.linspace(0.1, 0.02, bands)).astype(
        "float32"
    )
    low, high, dtype = KINDS[kind]
    return (low + unit * (high - low)).astype(dtype)


def model_of(bands: int, kind: str = "uint16") -> MaskedAutoencoder:
    torch.manual_seed(0)
    model = MaskedAutoencoder(replace(SMALL, channels=bands)).eval()
    model.value_range = list(KINDS[kind])
    return model


# -- one place turns values into a picture -------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [(4, 3, 2), (1, 1, 5), (2,)])
def test_named_bands_are_stretched_as_scikit_image_stretches_them(bands):
    values = picture(5, "float32")
    found = to_uint8(values, Look.of(values, bands))
    for colour, band in enumerate(bands if len(bands) == 3 else bands * 3):
        one = values[:, :, band - 1]
        limits = tuple(np.quantile(one, (0.02, 0.98)))
        expected = rescale_intensity(one, in_range=limits, out_range=(0.0, 255.0))
        assert np.abs(found[:, :, colour] - expected).max() <= 0.501
    assert (found == 0).mean() == pytest.approx(0.02, abs=0.01)
    assert (found == 255).mean() == pytest.approx(0.02, abs=0.01)


@pytest.mark.parametrize(("channels", "shown"), [(1, (1,)), (2, (1,)), (3, (1, 2, 3)), (4, (1, 2, 3)), (13, (1, 2, 3))])
def test_if_nobody_says_so_the_first_three_or_the_first_in_gray_are_shown(channels, shown):
    assert bands_shown(channels) == shown
    found = to_uint8(picture(channels), Look.of(picture(channels)))
    assert found.shape == (32, 32, 3)
    assert (len(shown) == 1) == bool((found == found[:, :, :1]).all())


@pytest.mark.parametrize("bands", [(1, 2), (0,), (5,), (1, 2, 5), (1, 2, 3, 4)])
def test_bands_that_are_not_there_are_refused(bands):
    with pytest.raises(ValueError, match=r"bands to show must be 1 or 3 of 1 to 4, got " + " ".join(map(str, bands))):
        Look.of(picture(4), bands)


def test_unknown_pixels_move_no_quantile_and_a_band_without_contrast_is_gray():
    values, known = picture(3, "float32"), np.ones((32, 32), bool)
    known[:8] = False
    odd = values.copy()
    odd[~known] = 1e6
    assert np.array_equal(to_uint8(odd, Look.of(odd, known=known))[8:], to_uint8(values, Look.of(values[8:]))[8:])
    assert (to_uint8(np.full((4, 4, 1), 7.0), Look.of(np.full((4, 4, 1), 7.0))) == 128).all()


def test_photographs_are_not_stretched():
    photograph = np.random.default_rng(0).integers(90, 120, (32, 32, 3), dtype=np.uint8)
    torch.manual_seed(0)
    found = reconstruct(MaskedAutoencoder(SMALL), photograph)
    assert found.look is None
    assert np.array_equal(found.shown["original"], photograph)
    swapped = reconstruct(MaskedAutoencoder(SMALL), photograph, bands=(3, 2, 1))
    assert np.array_equal(swapped.shown["original"], photograph[:, :, ::-1])
    assert swapped.look.words == "bands 3, 2, 1 as red, green, blue"


# -- reconstructions, panels and sheets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 8, 13])
def test_a_reconstruction_shows_its_pictures_alike_and_scores_what_it_scored(bands, kind):
    model, values = model_of(bands, kind), picture(bands, kind)
    found = reconstruct(model, values)
    shown = found.shown
    assert all(one.shape == (32, 32, 3) and one.dtype == np.uint8 for one in shown.values())
    assert np.ptp(shown["original"]) == 255
    assert (shown["masked"][found.hidden] == 128).all()
    for name in ("masked", "pasted"):
        assert np.array_equal(shown[name][~found.hidden], shown["original"][~found.hidden])
    assert np.array_equal(shown["raw"], to_uint8(found.raw, found.look))
    assert "stretched from" in found.look.words
    other = reconstruct(model, values, bands=(bands,))
    assert other.scores() == found.scores()
    assert found.panel().size[1] > replace(found, look=None).panel().size[1], "a line says what is shown"


def test_a_sheet_and_a_figure_show_named_bands():
    model, images = model_of(4), np.stack([picture(4, seed=seed) for seed in range(3)])
    packed = PackedImages("few", images, None, [], KINDS["uint16"])
    first, second = (
        np.asarray(example_sheet(model, packed, np.arange(3.0), typical=2, worst=1, bands=bands))
        for bands in ((1, 2, 3), (3, 2, 1))
    )
    assert first.shape == second.shape
    assert not np.array_equal(first, second)
    parts = first[:, :, ::-1] == second
    assert parts.all(), "the same sheet with red and blue exchanged"
    figure = show_pictures([images[0], images[1]], ["a", "b"], columns=2, bands=(4, 3, 2))
    drawn = figure.axes[0].images[0].get_array()
    assert np.array_equal(drawn, to_uint8(images[0], Look.of(images[0], (4, 3, 2))))
    assert np.array_equal(figure.axes[1].images[0].get_array(), to_uint8(images[1], Look.of(images[0], (4, 3, 2))))
    assert figure.get_supxlabel().startswith("bands 4, 3, 2 as red, green, blue, stretched from their 2 to their 98 %")
    plt.close(figure)


SHAPE = ["--set=channels=4", "--set=image_size=[32,32]", "--set=patch_size=8", "--set=width=16", "--set=heads=1", "--set=depth=1",
         "--set=decoder_width=16", "--set=decoder_depth=1", "--set=decoder_heads=1"]  # fmt: skip


def test_the_command_line_shows_named_bands_and_says_so(tmp_path, capsys):
    scenes, run = write_scenes(tmp_path / "scenes", 4), tmp_path / "run"
    data = ["--data", str(scenes), "--cache", str(tmp_path / "cache")]
    train = ["train", *data, *SHAPE, "--batch-size=8", "--epochs=1", "--sample-epochs=1", "--out", str(run)]
    assert main([*train, "--bands", "4", "3", "9"]) == 2
    assert "--bands: bands to show must be 1 or 3 of 1 to 4, got 4 3 9" in capsys.readouterr().err
    assert not run.exists()
    assert main([*train, "--bands", "4", "3", "2"]) == 0
    words = "bands 4, 3, 2 as red, green, blue, stretched from their 2 to their 98 % quantiles"
    assert f"samples of the run are pictures for the eye ({words})" in capsys.readouterr().out
    assert np.ptp(np.asarray(Image.open(next((run / "samples").glob("*.png"))))) == 255
    sheet = tmp_path / "sheet.png"
    evaluate = ["evaluate", str(run), *data, "--split=all", "--bands", "4", "3", "2"]
    assert main(evaluate) == 2
    assert "--bands says what --sheet shows: add --sheet PNG" in capsys.readouterr().err
    assert main([*evaluate, "--sheet", str(sheet)]) == 0
    assert f"{sheet} ({words})" in capsys.readouterr().out
    pictures = []
    for index, bands in enumerate((["--bands", "1", "2", "3"], ["--bands", "4", "3", "2"], ["--bands", "2"])):
        out = tmp_path / f"{index}.png"
        assert main(["reconstruct", str(scenes / "00.tif"), "--model", str(run), "--out", str(out), *bands]) == 0
        pictures.append(np.asarray(Image.open(out)).astype(int))
    said = capsys.readouterr().out
    assert words in said
    assert "bands 1, 2, 3 as" in said
    assert "band 2 as gray, stretched from its 2 to its 98 % quantile)" in said
    assert np.abs(pictures[0] - pictures[1]).max() > 50
    gray = pictures[2][44:300]
    assert (gray == gray[:, :, :1]).all()
    out = tmp_path / "none.png"
    assert main(["reconstruct", str(scenes / "00.tif"), "--model", str(run), "--out", str(out), "--bands", "5"]) == 2
    assert not out.exists()


# -- explorer and application --------------------------------------------------------------------------------------------


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def own_state(model: MaskedAutoencoder, content: bytes) -> dict[str, object]:
    values = Values(*model.value_range)
    return {"sample": "own", "own": explorer_state.own_picture(content, model.config, values=values)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 13])
def test_an_own_picture_keeps_its_values(bands, kind):
    model = model_of(bands, kind)
    wide = np.concatenate([picture(bands, kind, seed) for seed in range(2)], axis=1)  # is cropped
    for content in (tiff(wide), npy(wide)):
        found = explorer_state.reconstruction_of(model, own_state(model, content), bands=(bands,))
        there = reconstruct(model, content, bands=(bands,))
        np.testing.assert_allclose(found.original, there.original, atol=1e-6)
        for protocol, scored in there.scores().items():
            assert found.scores()[protocol] == pytest.approx(scored, abs=1e-3)
        assert np.array_equal(explorer_state.views(found)["original"], there.shown["original"])
    other = picture(bands + 1, kind)
    with pytest.raises(ImageError, match=rf"has {bands + 1} bands, the model takes {bands}"):
        own_state(model, npy(other))
    with pytest.raises(ImageError, match="the upload has int16 values, the model's data has"):
        own_state(model, npy(picture(bands).astype("int16")))


def test_the_explorer_shows_a_model_of_many_bands(tmp_path):
    model, path = model_of(4), tmp_path / "scene.tif"
    path.write_bytes(tiff(picture(4)))
    maelib.save(model, tmp_path / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"takes pictures of 4 bands of uint16 values, as TIFF, PNG or \.npy: give picture=PATH"
    ):
        ReconstructionExplorer(model)
    with pytest.raises(ValueError, match="1 or 3 of 1 to 4"):
        ReconstructionExplorer(model, path, (7,))
    explorer = ReconstructionExplorer(tmp_path / "model.safetensors", path, bands=(4, 3, 2))
    assert explorer.controls["sample"].options == ()
    assert "Shown: bands 4, 3, 2 as red, green, blue, stretched" in explorer.text.value
    explorer.controls["view"].value = "original"
    shown = np.asarray(Image.open(io.BytesIO(explorer.images["picture"].value)))
    assert np.array_equal(shown, reconstruct(model, path, bands=(4, 3, 2)).shown["original"])
    assert len(explorer.plain_picture()) > 1000
    before = explorer.images["picture"].value
    upload(explorer, npy(picture(5)))
    assert "has 5 bands, the model takes 4" in explorer.status.value
    assert explorer.images["picture"].value == before
    upload(explorer, npy(picture(4, seed=1)))
    assert explorer.status.value == ""
    assert explorer.images["picture"].value != before


def test_files_that_a_gray_model_of_16_bits_asks_for_are_taken():
    config, values = replace(SMALL, channels=1), Values(0, 4000, "uint16")
    assert (
        explorer_state.takes(config, values)
        == "This model takes pictures of 1 band of uint16 values, as TIFF, PNG or .npy"
    )
    assert "PNG" not in explorer_state.takes(config, values._replace(dtype="float32"))
    array, files = np.random.default_rng(0).integers(0, 4000, (32, 32, 1), dtype=np.uint16), io.BytesIO()
    Image.fromarray(array[..., 0]).save(files, "PNG")
    made = {
        explorer_state.own_picture(one, config, values=values) for one in (tiff(array), npy(array), files.getvalue())
    }
    assert len(made) == 1
    colour = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(colour, "PNG")
    with pytest.raises(ImageError, match=r"the upload is a colour picture of 8 bits, the model takes 1 band of uint16"):
        explorer_state.own_picture(colour.getvalue(), config, values=values)


def test_the_application_shows_a_model_of_many_bands(tmp_path, monkeypatch):
    pytest.importorskip("streamlit")
    from test_app import expected, page, scores

    model, path = model_of(4), tmp_path / "model.safetensors"
    maelib.save(model, path)
    app = page(monkeypatch, MAELIB_APP_MODELS=str(path))
    photographs = scores(app)
    app.selectbox(key="model").set_value(str(path)).run()
    assert not app.exception
    assert (
        app.info[0].value == r"This model takes pictures of 4 bands of uint16 values, as TIFF, PNG or .npy: upload one."
    )
    app.file_uploader(key="upload").set_value(("a.npy", npy(picture(5)), "")).run()
    assert "has 5 bands, the model takes 4" in app.error[0].value
    assert len(app.error) == len(app.info) == 1
    for name, content in (("a.tif", tiff(picture(4))), ("b.npy", npy(picture(4, seed=1)))):
        app.file_uploader(key="upload").set_value((name, content, "")).run()
        assert not app.exception
        assert not app.error
        assert not app.info
        found = scores(app)
        assert "Shown: bands 1, 2, 3 as red, green, blue, stretched" in found
        look = explorer_state.reconstruction_of(model, own_state(model, content)).look
        assert found == expected(model=path, look=look, **own_state(model, content))
    app.multiselect(key="bands4").set_value([4, 3]).run()
    assert "Bands to show must be 1 or 3" in app.warning[0].value
    app.multiselect(key="bands4").set_value([4, 3, 2]).run()
    assert "Shown: bands 4, 3, 2 as red, green, blue" in scores(app)
    app.slider(key="ratio").set_value(40).run()
    assert not app.exception
    app.selectbox(key="model").set_value(explorer_state.EMBEDDED).run()  # the upload is none of its pictures
    assert not app.exception
    assert "is not a picture" in app.error[0].value
    app.file_uploader(key="upload").set_value(None).run()
    app.slider(key="ratio").set_value(75).run()
    assert scores(app) == photographs
