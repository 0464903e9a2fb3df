"""Checkpoints are trusted to the last bit or not at all."""

import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL

import maelib
from maelib import MaskedAutoencoder
from maelib.training import TrainConfig, Trainer
from maelib.training.checkpoint import (
    MARK,
    TRAILER,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from maelib.weights import FORMAT

TINY = replace(
    SMALL, image_size=8, patch_size=4, width=4, heads=1, depth=1, decoder_width=4, decoder_depth=1, decoder_heads=1
)
RECIPE = TrainConfig(epochs=3, batch_size=16, base_lr=0.02, log_every=2, precision="fp32", keep_checkpoints=3)


def state_of(step: int, **more: Any) -> dict[str, Any]:
    torch.manual_seed(step)
    return {
        "format": FORMAT,
        "config": asdict(TINY),
        "model": MaskedAutoencoder(TINY).state_dict(),
        "step": step,
        **more,
    }


def same(a: Any, b: Any) -> bool:
    """Whether two nested states are equal to the bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def places(content: bytes, count: int) -> list[int]:
    """Bits all over a file, and many of its end, where a zip keeps its directory and we the checksum."""
    chance, bits = random.Random(0), 8 * len(content)
    return [chance.randrange(bits) for _ in range(count)] + [
        chance.randrange(bits - 8 * 4000, bits) for _ in range(count)
    ]


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.audit)])
def test_no_flipped_bit_is_read(tmp_path, count):
    save_checkpoint(tmp_path, 1, state_of(1))
    path = save_checkpoint(tmp_path, 2, state_of(2))
    content = path.read_bytes()
    trailer = range(8 * (len(content) - TRAILER), 8 * len(content), 7)
    for bit in [*places(content, count), *trailer]:
        path.write_bytes(flipped(content, bit))
        with pytest.raises(ValueError, match=r"cannot be read \(.+\)"):
            load_checkpoint(path)
    said: list[str] = []
    assert newest_checkpoint(tmp_path, said.append)[1]["step"] == 1
    assert len(said) == 1
    assert said[0].startswith(f"skipped: checkpoint {path} cannot be read (")
    with pytest.raises(ValueError):  # noqa: PT011 (by its content it may be anything)
        maelib.load(path)
    path.write_bytes(content)
    assert same(load_checkpoint(path), state_of(2))


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.audit)])
def test_format_1_had_no_checksum_and_is_read_right_or_not_at_all(tmp_path, count):
    state = state_of(3)
    del state["format"]
    path = tmp_path / "step-00000003.pt"
    torch.save(state, path)
    content, refused = path.read_bytes(), 0
    for bit in places(content, count):
        path.write_bytes(flipped(content, bit))
        try:
            assert same(load_checkpoint(path), state), f"bit {bit}"
        except ValueError:
            refused += 1
    assert refused > count
    path.write_bytes(content)
    assert same(load_checkpoint(path), state)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:-TRAILER],  # whole for torch.load
        lambda content: content + b"\0",
        lambda content: content.replace(MARK, MARK.lower()),
        lambda content: bytes(len(content)),
        lambda content: b"PK" + content,
    ],
)
def test_files_cut_lengthened_or_emptied_are_damaged(tmp_path, damage: Callable[[bytes], bytes]):
    path = save_checkpoint(tmp_path, 2, state_of(2))
    changed = damage(path.read_bytes())
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="cannot be read"):
        load_checkpoint(path)


def test_torch_alone_reads_a_checkpoint_too(tmp_path):
    path = save_checkpoint(tmp_path, 2, state_of(2))
    assert same(torch.load(path, weights_only=True), state_of(2))


def test_a_later_checkpoint_that_nobody_could_read_does_not_outlive_a_good_one(tmp_path):
    save_checkpoint(tmp_path, 5, state_of(5), keep=1)
    (tmp_path / "step-00000009.pt").write_bytes(b"damaged")
    save_checkpoint(tmp_path, 7, state_of(7), keep=1)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000007.pt"]


# -- what a trainer refuses ----------------------------------------------------------------------------------------------


@pytest.fixture
def run(small_model, pictures, tmp_path) -> Path:
    """A finished run of nine steps, its checkpoints at 3, 6 and 9."""
    Trainer(small_model, pictures, RECIPE, tmp_path / "run").train()
    return tmp_path / "run"


def resumed(run: Path, pictures) -> Trainer:
    torch.manual_seed(0)
    return Trainer(MaskedAutoencoder(SMALL), pictures, RECIPE, run, resume=True)


def change(run: Path, step: int, edit: Callable[[dict[str, Any]], None]) -> None:
    """Write a checkpoint anew, its checksum right, its content not."""
    state = load_checkpoint(run / f"checkpoints/step-{step:08d}.pt")
    edit(state)
    others = {path: path.read_bytes() for path in list_checkpoints(run / "checkpoints")}
    save_checkpoint(run / "checkpoints", step, state, keep=9)
    for path, content in others.items():
        if not path.exists():
            path.write_bytes(content)


def first_moment(state: dict[str, Any]) -> dict[str, Any]:
    return next(iter(state["optimizer"]["state"].values()))


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a step beyond the end": lambda state: state.update(step=10),
    "a step before the beginning": lambda state: state.update(step=-1),
    "a step that is none": lambda state: state.update(step="9"),
    "no step": lambda state: state.pop("step"),
    "no weights": lambda state: state.pop("model"),
    "a weight missing": lambda state: state["model"].popitem(),
    "a weight too many": lambda state: state["model"].update(other=torch.zeros(1)),
    "a weight of another shape": lambda state: state["model"].update({"decoder.head.bias": torch.zeros(3)}),
    "a weight that is no number": lambda state: state["model"]["decoder.head.bias"].fill_(float("nan")),
    "no optimizer": lambda state: state.pop("optimizer"),
    "an optimizer without its averages": lambda state: state["optimizer"]["state"].clear(),
    "an average missing": lambda state: state["optimizer"]["state"].popitem(),
    "an average of another shape": lambda state: first_moment(state).update(exp_avg=torch.zeros(3)),
    "an average that is infinite": lambda state: first_moment(state)["exp_avg_sq"].fill_(float("inf")),
    "no sums": lambda state: state.pop("sums"),
    "sums of another shape": lambda state: state.update(sums=torch.zeros(1, 4)),
    "time that is no number": lambda state: state.update(seconds=float("nan")),
    "a list": lambda state: state.clear(),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_state_that_cannot_be_this_runs_is_damaged_and_the_one_before_is_taken(run, pictures, capsys, wrong):
    change(run, 9, WRONG[wrong])
    capsys.readouterr()
    trainer = resumed(run, pictures)
    said = capsys.readouterr().out
    assert trainer.step == 6
    assert said.count("\n") == 2
    assert "skipped: checkpoint" in said
    assert "step-00000009.pt" in said
    assert "resumes at epoch 2.00 of 3 (step 6)" in said
    whole = [(run / name).read_bytes() for name in ("model.safetensors", "metrics.jsonl")]
    trainer.train()
    assert [(run / name).read_bytes() for name in ("model.safetensors", "metrics.jsonl")] == whole
    assert load_checkpoint(run / "checkpoints/step-00000009.pt")["step"] == 9, "the damaged one is written anew"


def test_a_run_without_a_good_checkpoint_is_not_begun_anew(run, pictures):
    for path in list_checkpoints(run / "checkpoints"):
        path.write_bytes(path.read_bytes()[:-1])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"no checkpoint in .* can be read; remove the folder to train from scratch"):
        resumed(run, pictures)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew(run, pictures, finished):
    for path in list_checkpoints(run / "checkpoints"):
        path.unlink()
    if finished:  # and short: all its lines could be of an epoch that a killed run did not save
        lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
        (run / "metrics.jsonl").write_text("".join(lines[:2]))
    else:
        (run / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"has trained to step [39], and no checkpoint is left in .*--overwrite"):
        resumed(run, pictures)
