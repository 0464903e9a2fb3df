"""Pictures that keep their values: what was written is what is read, in 1 to 16 bands of every kind; and their range."""

import io
import json
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from conftest import SMALL
from datasets_helpers import encoded, load, make_picture, scene, tiff, write_scenes
from PIL import Image

import maelib
from maelib import MaskedAutoencoder
from maelib.cli import main
from maelib.datasets import DatasetError, ImageError, PackedImages, Values, load_dataset, read_bands, read_image
from maelib.datasets.bands import EIGHT_BIT, count_outside
from maelib.evaluation import evaluate, reconstruct
from maelib.evaluation.probes import layer_features
from maelib.loading import load_with_about
from maelib.training import TrainConfig, Trainer
from maelib.training.batches import Batches
from maelib.training.distributed import World
from maelib.weights import resized

DTYPES = ("uint8", "uint16", "int16", "float32")
NODATA = [(42113, "s", 0, "-9999", True)]


# -- what was written is what is read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bigtiff", [False, True], ids=["classic", "BigTIFF"])
@pytest.mark.parametrize("planar", [False, True], ids=["contiguous", "planar"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [1, 2, 4, 8, 13])
def test_values_read_equal_values_written(bands, dtype, planar, bigtiff, tmp_path):
    written = scene(bands, dtype)
    ways = (
        {},
        {"extratags": NODATA},
        {"compression": "zlib"},
        {"tile": (16, 16)},
        {"byteorder": ">", "rowsperstrip": 7},
    )
    for way in ways:
        path = tmp_path / "scene.tif"
        path.write_bytes(tiff(written, planar, bigtiff=bigtiff, **way))
        for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
            read = read_bands(source, bands)
            assert read.dtype == written.dtype
            np.testing.assert_array_equal(read, written, err_msg=str(way))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [1, 2, 4, 8, 13])
def test_arrays_and_their_files_keep_their_values(bands, dtype, tmp_path):
    written = scene(bands, dtype)
    np.save(tmp_path / "a.npy", written)
    np.savez_compressed(tmp_path / "a.npz", written)
    other_order = written.astype(written.dtype.newbyteorder(">"))
    tensor = torch.from_numpy(written.transpose(2, 0, 1).copy())
    for source in (tmp_path / "a.npy", tmp_path / "a.npz", written, other_order, written[::-1][::-1], tensor):
        read = read_bands(source, bands)
        assert read.dtype == written.dtype
        np.testing.assert_array_equal(read, written)
    if bands == 1:
        np.testing.assert_array_equal(read_bands(written[:, :, 0], 1), written)
        np.testing.assert_array_equal(read_bands(written, 3), written.repeat(3, axis=2))


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [("bool", "uint8"), ("int8", "int16"), ("uint32", "float32"), ("int64", "float32"), ("float16", "float32"),
     ("float64", "float32")],
)  # fmt: skip
def test_other_real_kinds_become_one_that_is_kept(dtype, becomes):
    written = (np.arange(24).reshape(4, 3, 2) % 2).astype(dtype)
    read = read_bands(written, 2)
    assert read.dtype == becomes
    np.testing.assert_array_equal(read, written * (255 if dtype == "bool" else 1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}])
def test_sixteen_bit_gray_keeps_its_values(kind, options):
    written = scene(1) >> 4  # 12 bits, as scanners give them
    data = encoded(Image.fromarray(written[:, :, 0]), kind, **options)
    for channels in (1, 3):
        read = read_bands(data, channels)
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, written.repeat(channels, axis=2))


def test_what_tifffile_cannot_decode_is_left_to_pillow_where_it_keeps_the_values():
    color, rgba = np.array(make_picture()), np.dstack([np.array(make_picture()), scene(1, "uint8", 0, 64, 64)])
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
        np.testing.assert_array_equal(
            read_bands(encoded(Image.fromarray(color), "TIFF", compression=compression)), color
        )
        data = encoded(Image.fromarray(rgba), "TIFF", compression=compression)
        np.testing.assert_array_equal(read_bands(data, 4), rgba)
    single = np.random.default_rng(0).random((9, 7), dtype=np.float32)
    data = encoded(Image.fromarray(single), "TIFF", compression="tiff_lzw")
    np.testing.assert_array_equal(read_bands(data, 1)[:, :, 0], single)
    data = encoded(Image.fromarray(color), "TIFF", compression="jpeg", quality=95)
    np.testing.assert_array_equal(read_bands(data), np.array(read_image(data)))


def test_the_pages_of_a_file_are_bands():
    written = scene(5)
    file = io.BytesIO()
    tifffile.imwrite(file, written.transpose(2, 0, 1), photometric="minisblack", metadata=None)
    file.seek(0)
    assert len(tifffile.TiffFile(file).pages) == 5
    np.testing.assert_array_equal(read_bands(file.getvalue(), 5), written)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(written, photometric="minisblack", planarconfig="contig", metadata=None)
        writer.write(written[::4, ::4], photometric="minisblack", planarconfig="contig", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(read_bands(file.getvalue(), 5), written)  # a thumbnail is no band
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(written[:, :, 0], metadata=None)
        writer.write(written[::2, :, 0], metadata=None)
    with pytest.raises(ImageError, match=r"two\.tif has 2 pages of several kinds"):
        read_bands(file.getvalue(), 2, "two.tif")
    colours = encoded(make_picture(), "TIFF", save_all=True, append_images=[make_picture(seed=1)])
    with pytest.raises(ImageError, match="has 6 bands, the model takes 3"):
        read_bands(colours, 3)


def test_alpha_is_a_band_or_left_out_and_never_blended_in():
    written = scene(4, "uint8")
    written[..., :3], written[::2, :, 3] = 127, 0
    for kind in ("unassalpha", "assocalpha"):
        data = tiff(written, photometric="rgb", extrasamples=[kind])
        assert (read_bands(data, 3) == 127).all()
        np.testing.assert_array_equal(read_bands(data, 4), written)
    data = tiff(written, photometric="rgb", extrasamples=["unspecified"])
    with pytest.raises(ImageError, match="has 4 bands, the model takes 3"):
        read_bands(data, 3)
    png = encoded(Image.fromarray(written))
    np.testing.assert_array_equal(read_bands(png, 4), written)
    np.testing.assert_array_equal(read_bands(png, 3), np.array(read_image(png)))  # a photograph, on white as ever


def test_a_turned_tiff_is_put_upright():
    written = scene(4)
    for orientation, turned in (
        (1, written),
        (3, written[::-1, ::-1]),
        (6, np.rot90(written)),
        (8, np.rot90(written, -1)),
    ):
        data = tiff(np.ascontiguousarray(turned), extratags=[(274, "H", 1, orientation, True)])
        np.testing.assert_array_equal(read_bands(data, 4), written, err_msg=str(orientation))


def test_eight_bit_pictures_are_those_of_read_image():
    gray, color = make_picture().convert("L"), make_picture(50, 30)
    for source in (gray, color, color.convert("P"), color.convert("CMYK"), color.convert("RGBA"), gray.convert("1")):
        kinds = ("PNG", "TIFF") if source.mode != "CMYK" else ("TIFF", "JPEG")
        for given in (source, *(encoded(source, kind) for kind in kinds if source.mode != "RGBA" or kind == "PNG")):
            expected = read_image(given)
            np.testing.assert_array_equal(read_bands(given, 3), np.asarray(expected))
            np.testing.assert_array_equal(read_bands(given, 1)[:, :, 0], np.asarray(expected.convert("L")))


REFUSED = {
    "bands": (scene(5), 3, r"has 5 bands, the model takes 3: .*channels=5"),
    "17 bands": (scene(17), 16, r"shape \(40, 56, 17\).*1 to 16 bands"),
    "17 bands in a TIFF": (tiff(scene(17)), 16, "1 to 16 bands can be read"),
    "channels first": (scene(56).transpose(2, 0, 1), 4, r"\(56, 40, 56\).*\(H, W, C\)"),
    "complex": (np.ones((4, 4), complex), 1, "complex128 values: they must be real"),
    "infinite": (np.full((4, 4), -np.inf), 1, "infinite values: .*--nodata"),
    "too large for float32": (np.full((4, 4), 1e300), 1, "infinite values"),
    "a nodata tag in words": (tiff(scene(1), extratags=[(42113, "s", 0, "none", True)]), 1, "GDAL_NODATA of 'none'"),
    "no pixels": (np.ones((0, 4)), 1, "shape"),
    "an array of objects": (np.array([[{}]]), 1, "real"),
    "half a TIFF": (tiff(scene(4))[:9000], 4, "damaged or truncated"),
    "half a deflated TIFF": (tiff(scene(4), compression="zlib")[:9000], 4, "damaged or truncated"),
    "half an array": (b"\x93NUMPY\1\0v\0{'descr'", 1, "damaged or holds no array"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_is_refused_in_one_sentence(case):
    source, channels, message = REFUSED[case]
    with pytest.raises(ImageError, match=message) as caught:
        read_bands(source, channels, "the file")
    assert str(caught.value).startswith("the file ")
    assert "\n" not in str(caught.value)


def test_two_arrays_in_a_file_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "two.npz", scene(1), scene(1))
    with pytest.raises(ImageError, match=r"two\.npz holds 2 arrays: give every picture a file"):
        read_bands(tmp_path / "two.npz", 1)
    np.save(tmp_path / "o.npy", np.array([[{}]]), allow_pickle=True)
    with pytest.raises(ImageError, match="holds no array of numbers"):
        read_bands(tmp_path / "o.npy", 1)
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(ImageError):
        read_bands(tmp_path / "text.npz", 1)


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_an_image_error_and_nothing_else():
    random = np.random.default_rng(0)
    whole = [
        tiff(scene(4), compression="zlib"),
        tiff(scene(3, "uint8"), True),
        tiff(scene(2), bigtiff=True, tile=(16, 16)),
    ]
    for index in range(300):
        content = bytearray(whole[index % 3])
        for place in random.integers(0, len(content) if index % 2 else 400, 3):
            content[place] = random.integers(256)
        with suppress(ImageError):
            assert read_bands(bytes(content), 4 - index % 3, max_pixels=10**6).shape[2] == 4 - index % 3


def test_huge_pictures_are_refused_before_they_are_decoded():
    data = tiff(scene(2, height=50, width=60))
    with pytest.raises(ImageError, match="60 x 50 pixels, more than 2,999"):
        read_bands(data, 2, max_pixels=2999)
    assert read_bands(data, 2, max_pixels=3000).shape == (50, 60, 2)


# -- packed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [1, 2, 4, 8, 13])
def test_the_cache_keeps_dtype_bands_and_values(bands, dtype, tmp_path):
    (tmp_path / "scenes").mkdir()
    written = [scene(bands, dtype, seed) for seed in range(3)]
    for k, array in enumerate(written):
        (tmp_path / f"scenes/{k}.tif").write_bytes(tiff(array))
    for _ in range(2):  # packed, and opened
        data = load_dataset(
            tmp_path / "scenes", "all", size=(40, 56), channels=bands, cache=tmp_path / "c", progress=False
        )
        assert data.images.dtype == dtype
        np.testing.assert_array_equal(data.images, written)
    half = load_dataset(tmp_path / "scenes", "all", size=(20, 28), channels=bands, cache=tmp_path / "c", progress=False)
    assert half.images.shape == (3, 20, 28, bands)
    assert half.images.dtype == dtype
    kind = "uint8" if dtype == "uint8" else "float32"
    bands_alone = [Image.fromarray(written[0][..., b].astype(kind)) for b in range(bands)]
    expected = np.stack([np.asarray(band.resize((28, 20), Image.Resampling.BICUBIC)) for band in bands_alone], axis=2)
    limits = np.iinfo(dtype) if dtype != "float32" else np.finfo(dtype)
    np.testing.assert_allclose(half.images[0], expected.clip(limits.min, limits.max), atol=0.5, rtol=1e-6)


def test_the_range_is_one_for_the_set_and_a_few_odd_values_move_nothing(tmp_path):
    folder = write_scenes(tmp_path / "scenes", 2)
    options = {"size": (40, 56), "channels": 2, "cache": tmp_path / "cache", "progress": False}
    train, val = (load_dataset(folder, split, **options) for split in ("train", "val"))
    assert train.values == val.values
    assert train.values.dtype == "uint16"
    low, high = np.quantile(train.images, [0.001, 0.999])
    assert train.values[:2] == (low, high)
    path = folder / "for-training.tif"
    picture = np.array(train.images[0])
    path.write_bytes(tiff(picture))
    before = load_dataset(folder, "train", **options)
    assert len(before) == len(train) + 1
    picture[3, 4, 1] = 65535
    path.write_bytes(tiff(picture))
    after = load_dataset(folder, "train", **options)
    assert (after.images == 65535).sum() == 1
    np.testing.assert_allclose(after.values[:2], before.values[:2], atol=1)
    assert count_outside(after.images, after.values) == (after.images != after.images.clip(*after.values[:2])).sum()
    assert load_dataset(folder, "train", value_range=(0, 5000), **options).values == (0, 5000, "uint16")
    with pytest.raises(ValueError, match="two finite values, the lower first, got 5 and 5"):
        load_dataset(folder, "train", value_range=(5, 5), **options)


def test_a_set_of_one_value_needs_a_stated_range(tmp_path):
    (tmp_path / "flat").mkdir()
    for k in range(2):
        (tmp_path / f"flat/{k}.tif").write_bytes(tiff(np.full((8, 8, 1), 7, np.int16)))
    options = {"size": 8, "channels": 1, "cache": tmp_path / "cache", "progress": False}
    with pytest.raises(DatasetError, match=r"nearly all values of flat/train are 7: say with --range LOW HIGH"):
        load_dataset(tmp_path / "flat", "all", **options)
    assert load_dataset(tmp_path / "flat", "all", value_range=(-5, 20), **options).values == (-5, 20, "int16")


def test_a_folder_of_several_kinds_is_refused_with_both_names(tmp_path):
    folder = write_scenes(tmp_path / "scenes", 1, count=5)
    Image.new("L", (56, 40)).save(folder / "photo.png")
    with pytest.raises(
        DatasetError, match=r"photo\.png has uint8 values, \S+00\.tif has uint16: give a folder of one kind"
    ):
        load_dataset(folder, "all", channels=1, cache=tmp_path / "cache", progress=False)
    (folder / "01.tif").write_bytes(tiff(scene(2)))
    with pytest.raises(DatasetError, match=r"01\.tif has 2 bands, the model takes 1"):
        load_dataset(folder, "all", channels=1, cache=tmp_path / "cache", progress=False)


def test_eight_bit_data_is_always_0_to_255(tmp_path):
    (tmp_path / "dark").mkdir()
    for k in range(2):
        Image.new("RGB", (8, 8), (3, 4, 5)).save(tmp_path / f"dark/{k}.png")
    assert load(tmp_path / "dark", tmp_path / "cache", "all").values == EIGHT_BIT == (0, 255, "uint8")


# -- every entrance checks what it is given ----------------------------------------------------------------------------


def test_values_become_0_to_1_at_every_entrance(monkeypatch):
    torch.manual_seed(0)
    model = MaskedAutoencoder(replace(SMALL, channels=4)).eval()
    pixels = scene(4, "int16", height=32, width=32)[None].repeat(4, 0)
    data = PackedImages("scenes", pixels, None, [], Values(-20_000, 10_000, "int16"))
    unit = ((pixels.astype(np.float64) + 20_000) / 30_000).clip(0, 1)
    assert (unit == 0).any()
    assert (unit == 1).any()
    config = TrainConfig(batch_size=4, augment="none")
    batch, _ = next(Batches(data, config, (32, 32), 16, World(), torch.device("cpu")).micro_batches(0))
    np.testing.assert_allclose(batch.permute(0, 2, 3, 1), unit, atol=1e-6)
    one = reconstruct(model, pixels[0], values=data.values)
    np.testing.assert_allclose(one.original, unit[0], atol=1e-6)
    scores = evaluate(model, data, n=1, progress=False)
    assert scores["masked"]["psnr"] == pytest.approx(one.scores()["masked"]["psnr"], abs=1e-4)
    seen, encode = [], model.encode
    monkeypatch.setattr(model, "encode", lambda images, pool: seen.append(images) or encode(images, pool))
    layer_features(model, data, progress=False)
    np.testing.assert_allclose(torch.cat(seen).permute(0, 2, 3, 1), unit, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
def test_values_without_a_range_are_refused_everywhere(dtype, small_model, pictures, tmp_path):
    odd = pictures.astype(dtype)
    config = TrainConfig(batch_size=8, epochs=1)
    for attempt in (
        lambda: Trainer(small_model, odd, config, tmp_path / "run"),
        lambda: evaluate(small_model, odd, progress=False),
        lambda: layer_features(small_model, odd, progress=False),
        lambda: PackedImages("odd", odd, None, []),
    ):
        with pytest.raises(ValueError, match=rf"pictures of {dtype} need a range.*--range LOW HIGH"):
            attempt()
    assert not (tmp_path / "run").exists()
    if dtype in ("uint16", "int16"):
        with pytest.raises(ImageError, match=rf"has {dtype} values, the model's data has uint8: .*--range LOW HIGH"):
            reconstruct(small_model, odd[0])


def test_floats_in_memory_are_pixels_in_0_to_1():
    model = MaskedAutoencoder(replace(SMALL, channels=5)).eval()
    unit = np.random.default_rng(0).random((32, 32, 5), dtype=np.float32)
    np.testing.assert_array_equal(reconstruct(model, unit).original, unit)
    np.testing.assert_array_equal(reconstruct(model, torch.from_numpy(unit).permute(2, 0, 1)).original, unit)
    with pytest.raises(ImageError, match=r"values from .* to .*: they must lie in \[0, 1\]"):
        reconstruct(model, unit * 3)


# -- from the command line ---------------------------------------------------------------------------------------------

SHAPE = ["--set=image_size=[32, 48]", "--set=patch_size=8", "--set=width=32", "--set=heads=2", "--set=depth=1"]
TRAIN = [*SHAPE, "--set=decoder_width=16", "--epochs=1", "--batch-size=8"]


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint16"), (2, "int16"), (5, "float32")])
def test_a_folder_of_scenes_goes_all_the_way(bands, dtype, tmp_path, capsys):
    folder, run, out = write_scenes(tmp_path / "scenes", bands, dtype), str(tmp_path / "run"), tmp_path / "r.png"
    data = ["--data", str(folder)]
    assert main(["train", *data, *TRAIN, f"--set=channels={bands}", "--out", run]) == 0
    closing = capsys.readouterr().out
    model, about = load_with_about(run)
    values = Values(*about["range"])
    assert values.dtype == dtype
    assert 90 < values.low < 400
    assert 3500 < values.high < 4100
    said = f"{dtype} values {values.low:g} to {values.high:g} become 0 to 1; "
    assert f"scenes/train: {said}" in closing
    assert main(["evaluate", run, *data, "--protocols", "pasted", "masked", "--sheet", str(tmp_path / "s.png")]) == 0
    again = capsys.readouterr().out
    row = [line for line in closing.splitlines() if line.startswith("model ")]
    assert row
    assert row[0] in again
    assert f"scenes/val: {said}" in again
    assert main(["reconstruct", str(folder / "00.tif"), "--model", run, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    scores = reconstruct(model, folder / "00.tif", values=values).scores()
    assert f"{scores['masked']['psnr']:.2f} dB" in printed
    assert Image.open(out).width > 500
    assert main(["data", *data, "--model", run]) == 0
    plural = "s" if bands > 1 else ""
    assert f"38 pictures of 32 x 48 pixels, {bands} band{plural}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["gray", "colour", "one in colour"])
def test_gray_pictures_for_a_model_of_colour_are_called_so(kind, tmp_path, capsys):
    modes = {"gray": ["L"] * 20, "colour": ["RGB"] * 20, "one in colour": ["L"] * 19 + ["RGB"]}[kind]
    for i, mode in enumerate(modes):
        noise = np.random.default_rng(i).integers(0, 255, (32, 48, 3), dtype=np.uint8)
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.fromarray(noise).convert(mode).save(tmp_path / f"pictures/{i:02}.png")
    train = ["train", "--data", str(tmp_path / "pictures"), *TRAIN, "--no-final-evaluation", "--out"]
    assert main([*train, str(tmp_path / "three")]) == 0
    said = "the pictures are gray: --set channels=1 makes a model for them"
    assert (said in capsys.readouterr().out) == (kind == "gray")
    assert main([*train, str(tmp_path / "one"), "--set=channels=1"]) == 0
    assert said not in capsys.readouterr().out


def test_the_range_of_a_model_is_used_and_other_kinds_are_refused(tmp_path, capsys):
    folder, run, out = write_scenes(tmp_path / "scenes", 1), str(tmp_path / "run"), str(tmp_path / "r.png")
    train = ["train", "--data", str(folder), *TRAIN, "--set=channels=1", "--no-final-evaluation"]
    assert main([*train, "--range", "0", "8000", "--out", run]) == 0
    assert load_with_about(run)[1]["range"] == [0, 8000, "uint16"]
    assert load_with_about(next(Path(run).glob("checkpoints/*.pt")))[1]["range"] == [0, 8000, "uint16"]
    (Path(run) / "model.safetensors").rename(tmp_path / "alone.safetensors")
    for source in (run, str(tmp_path / "alone.safetensors")):
        assert load_with_about(source)[1]["range"] == [0, 8000, "uint16"]
    capsys.readouterr()
    assert main(["evaluate", run, "--data", str(folder)]) == 0
    assert "uint16 values 0 to 8000 become 0 to 1; 0 of " in capsys.readouterr().out
    Image.new("L", (48, 32)).save(tmp_path / "photo.png")
    assert main(["reconstruct", str(tmp_path / "photo.png"), "--model", run, "--out", out]) == 1
    error = capsys.readouterr().err
    assert "photo.png has uint8 values, the model's data has uint16: say with --range LOW HIGH" in error
    assert not Path(out).exists()
    assert main(["reconstruct", str(tmp_path / "photo.png"), "--model", run, "--out", out, "--range", "0", "255"]) == 0
    Image.new("RGB", (48, 32), "red").save(tmp_path / "colour.png")
    for tiles in ([], ["--tiles"]):
        assert main(["reconstruct", str(tmp_path / "colour.png"), "--model", run, "--out", out, *tiles]) == 1
        error = capsys.readouterr().err
        assert "colour.png is a colour picture of 8 bits, the model takes 1 band of uint16" in error
        assert "--range" not in error
    assert main(["reconstruct", str(folder / "00.tif"), "--out", out]) == 1  # by the shipped model
    assert "has uint16 values, the model's data has uint8: say with --range LOW HIGH" in capsys.readouterr().err
    assert main(["evaluate", run, "--data", "samples"]) == 1
    assert "samples has uint8 values, the model's data has uint16: say with --range" in capsys.readouterr().err
    model = maelib.load(tmp_path / "alone.safetensors")  # in Python, the model brings its range along
    expected = reconstruct(model, folder / "00.tif", values=Values(0, 8000)).original
    again = maelib.load(maelib.save(model, tmp_path / "again"))
    for one in (model, again, resized(model, (32, 48))):
        np.testing.assert_array_equal(reconstruct(one, folder / "00.tif").original, expected)
        with pytest.raises(ImageError, match="has uint8 values, the model's data has uint16"):
            reconstruct(one, tmp_path / "photo.png")
    for wrong in (["9", "1"], ["0", "nan"]):
        for command in (["reconstruct", str(folder / "00.tif")], ["data", "--data", str(folder)]):
            assert main([*command, "--range", *wrong]) == 2
            assert "--range: a range needs two finite values, the lower first, got" in capsys.readouterr().err
    # Another range is another run.
    assert main([*train, "--range", "0", "9000", "--out", run, "--resume", "auto"]) == 1
    assert "range was [0.0, 8000.0, 'uint16'], now [0.0, 9000.0, 'uint16']" in capsys.readouterr().err


def test_a_run_begun_with_weights_takes_their_range(tmp_path, capsys):
    folder, first, second = write_scenes(tmp_path / "scenes", 1), tmp_path / "first", tmp_path / "second"
    shared = ["train", "--data", str(folder), "--epochs=1", "--batch-size=8", "--no-final-evaluation"]
    assert (
        main(
            [*shared, *SHAPE, "--set=decoder_width=16", "--set=channels=1", "--range", "0", "8000", "--out", str(first)]
        )
        == 0
    )
    assert main([*shared, "--init", str(first), "--out", str(second)]) == 0
    assert json.loads((second / "config.json").read_text())["range"] == [0, 8000, "uint16"]
    assert main([*shared[:2], "samples", *shared[3:], "--init", str(first), "--out", str(tmp_path / "third")]) == 1
    assert "samples has uint8 values, the model's data has uint16" in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


def test_bands_that_the_model_does_not_take_are_said_before_a_run_begins(tmp_path, capsys):
    folder = write_scenes(tmp_path / "scenes", 5, count=4)
    assert main(["train", "--data", str(folder), *TRAIN, "--out", str(tmp_path / "run")]) == 1
    assert "has 5 bands, the model takes 3: train one with --set channels=5" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_runs_of_eight_bits_are_as_they_were(tmp_path):
    run = tmp_path / "run"
    (tmp_path / "photos").mkdir()
    for k in range(12):
        make_picture(seed=k).save(tmp_path / f"photos/{k}.png")
    data = ["--data", str(tmp_path / "photos")]
    assert main(["train", *data, *TRAIN, "--out", str(run), "--no-final-evaluation"]) == 0
    assert "range" not in json.loads((run / "config.json").read_text())
    assert load_with_about(run)[1]["range"] is None
