"""The benchmarks measure what they say: the same work for everybody, and savings that do not change the result."""

import importlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT, SMALL

from maelib import PRESETS, MaskedAutoencoder, Masking, create_model
from maelib.datasets import PackedImages
from maelib.evaluation import evaluate
from maelib.patches import patchify
from maelib.training.optimizer import make_optimizer

sys.path.insert(0, str(ROOT / "benchmarks"))
pytest.importorskip("timm")
pytest.importorskip("lightly")
import ablation
import changed_work
import harness
import peers
import probes
import projection
import race_entries
import scaling
import short_run
import statistics_head
import training_step
import trials

NAME = "mae_tiny_patch4_64_plain"
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ATTENTIONS = ablation.attentions(CPU) | ablation.attentions(CUDA)


def trainable(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_peers_have_our_size():
    ours, others = trainable(create_model(NAME)), peers.peers(NAME)
    lightly_extra = create_model(NAME).config.width  # a mask token that it holds and does not use
    for key, model in others.items():
        assert trainable(model) == ours + (lightly_extra if key.startswith("lightly") else 0), key


@pytest.mark.parametrize("key", ["transformers eager", "timm unfused", "lightly unfused"])
def test_peers_learn_the_same_task(key):
    torch.manual_seed(0)
    model = peers.peers(NAME)[key].train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    images = torch.rand(4, 3, 1, 1).expand(-1, -1, 64, 64).contiguous()  # plain colours are learned in a few steps
    losses = []
    for _ in range(12):
        loss = model(images).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_both_attention_settings_compute_the_same():
    for fused, unfused in (("timm fused", "timm unfused"), ("lightly fused", "lightly unfused")):
        models = peers.peers(NAME)
        models[unfused].load_state_dict(models[fused].state_dict())
        images = torch.rand(2, 3, 64, 64)
        losses = []
        for key in (fused, unfused):
            torch.manual_seed(1)  # the same masks
            losses.append(models[key].eval()(images).loss.item())
        assert losses[0] == pytest.approx(losses[1], abs=1e-5)
        assert losses[0] > 0


@pytest.mark.parametrize("key", ["transformers eager", "timm unfused"])
def test_peers_follow_ours_step_for_step(key):
    """Same weights, pictures and masks: same losses over ten steps, and the weights come back as a model of ours."""
    torch.manual_seed(0)
    config = replace(create_model(NAME).config, depth=2, pixel_mean=0.45, pixel_std=(0.2, 0.25, 0.3))
    peer = peers.TimmMAE(config, False) if key.startswith("timm") else peers.TransformersMAE(config, "eager")
    ours = peer.ours().train()
    images, losses = torch.rand(4, 3, 64, 64), []
    maskings = [Masking.random(4, 256) for _ in range(10)]
    for model in (peer.train(), ours):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
        for masking in maskings:
            loss = model(images, masking).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert losses[:10] == pytest.approx(losses[10:], rel=1e-3)
    assert losses[9] < 0.9 * losses[0]
    again = peer.ours()
    for (name, a), (_, b) in zip(again.state_dict().items(), ours.state_dict().items(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0, msg=name)


def test_muon_takes_the_same_matrices_of_a_peer_as_of_ours():
    config = create_model(NAME).config
    shapes = []
    for model in (MaskedAutoencoder(config), peers.TimmMAE(config, False)):
        optimizer = make_optimizer(model, 1e-3, 0.05, (0.9, 0.95), 7e-3)
        muon = optimizer.optimizers[0]
        shapes.append([p.shape for group in muon.param_groups for p in group["params"]])
    assert shapes[0] == shapes[1]


def test_averaged_weights_are_those_that_are_scored():
    torch.manual_seed(0)
    model = race_entries.Averaged(SMALL)
    before = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.data.add_(1)
    model.train()(torch.rand(2, 3, *SMALL.hw))
    for old, mean in zip(before, model.ours().parameters(), strict=True):
        torch.testing.assert_close(mean.detach(), old + 0.005, atol=1e-6, rtol=0)


def test_the_logarithm_of_the_error_is_what_a_mean_psnr_scores():
    model = race_entries.LogLoss(SMALL)
    images, masking = torch.rand(3, 3, *SMALL.hw), Masking.random(3, SMALL.grid[0] * SMALL.grid[1])
    out = model(images, masking)
    each = [MaskedAutoencoder.forward(model, images[i : i + 1], Masking(masking.visible[i : i + 1], masking.hidden[i : i + 1])).loss
            for i in range(3)]  # fmt: skip
    assert out.loss.item() == pytest.approx(torch.stack(each).log().mean().item(), abs=1e-4)


def test_every_entry_of_the_race_takes_a_step_of_its_recipe():
    for entry in race_entries.ENTRIES.values():
        recipe = entry.recipe_for(100_000, seed=1)
        assert recipe.epochs * recipe.limit == 100_000
        assert recipe.seed == 1
        model = entry.build(recipe)
        assert model.config.pixel_mean in (0.0, 0.45)
        assert torch.isfinite(model(torch.rand(2, 3, 64, 64), Masking.random(2, 256)).loss)


@pytest.mark.parametrize("key", [*ablation.CHANGES, *ATTENTIONS])
def test_a_saving_switched_off_changes_nothing_but_the_work(key):
    torch.manual_seed(0)
    ours = create_model(NAME)
    other = create_model(NAME)
    other.load_state_dict(ours.state_dict())
    images, masking = torch.rand(2, 3, 64, 64), Masking.random(2, 256)
    expected = ours(images, masking)
    if key in ablation.CHANGES:
        ablation.CHANGES[key](other)
        found = other(images, masking)
        assert trainable(other) == trainable(ours)
    else:
        with ablation.attention(ATTENTIONS[key]):
            found = other(images, masking)
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(found.pred, expected.pred, atol=1e-4, rtol=1e-4)


def test_every_patch_is_projected_where_that_saving_is_off():
    model = MaskedAutoencoder(SMALL)
    ablation.project_every_patch(model)
    seen = []
    model.every_patch.register_forward_hook(lambda _, given, out: seen.append(out.shape[1]))
    model(torch.rand(2, 3, *SMALL.hw))
    assert seen == [SMALL.grid[0] * SMALL.grid[1]]


@pytest.mark.parametrize("cross", [False, True])
def test_another_attention_is_in_every_block_and_only_while_it_should_be(cross):
    model = MaskedAutoencoder(replace(SMALL, decoder_cross=cross))
    calls = []

    def counted(q, k, v):
        calls.append(q.shape)
        return ablation.explicit_attention(q, k, v)

    with ablation.attention(counted):
        model(torch.rand(1, 3, *SMALL.hw))
    assert len(calls) == SMALL.depth + SMALL.decoder_depth
    model(torch.rand(1, 3, *SMALL.hw))
    assert len(calls) == SMALL.depth + SMALL.decoder_depth


def test_pieces_give_the_gradient_of_the_whole_batch():
    images = torch.rand(8, 3, 64, 64)
    steps = []
    for pieces in (1, 4):
        torch.manual_seed(0)
        model = create_model(NAME)
        noise = torch.rand(8, 256, generator=torch.Generator().manual_seed(1))
        shares = iter(noise.chunk(pieces))
        forward = model.forward
        model.forward = lambda x, shares=shares, forward=forward: forward(x, Masking.from_noise(next(shares)))
        training_step.make_step(model, images, "fp32", pieces)()
        steps.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(steps[0], steps[1], atol=2e-5, rtol=0)


def test_the_table_has_every_contender(monkeypatch, capsys, tmp_path):
    argv = ["--models", "tiny", "--batch-size", "4", "--rounds", "1", "--json", str(tmp_path / "t.json")]
    monkeypatch.setattr(sys, "argv", ["training_step.py", *argv])
    training_step.main()
    printed = capsys.readouterr().out
    for key in peers.peers(NAME):
        assert key in printed
    assert (tmp_path / "t.json").exists()


@pytest.mark.parametrize(("statistics", "oracle"), [("visible average", False), ("true (an oracle)", True)])
def test_statistics_are_put_back_as_the_library_does_it(statistics, oracle):
    """The twin with borrowed statistics equals a model of normalised targets that has the same weights."""
    torch.manual_seed(0)
    twin = statistics_head.WithStatistics(SMALL).eval()
    plain = MaskedAutoencoder(replace(SMALL, normalize_targets=True)).eval()
    weights = twin.state_dict()
    for name in ("decoder.head.weight", "decoder.head.bias"):
        weights[name] = weights[name][:-2]
    plain.load_state_dict(weights)
    images, masking = torch.rand(2, 3, 32, 32), Masking.random(2, 16)
    twin.statistics = statistics
    with torch.no_grad():
        expected, _ = plain.reconstruct(images, masking, oracle)
        found, mask = twin.reconstruct(images, masking)
    torch.testing.assert_close(found, expected)
    assert torch.equal(mask, masking.mask)


def test_the_statistics_head_learns_the_statistics():
    """Plain colours: the mean of a hidden patch is that of the visible ones, its spread is zero."""
    torch.manual_seed(0)
    twin = statistics_head.WithStatistics(SMALL)
    optimizer = torch.optim.AdamW(twin.parameters(), lr=3e-3)
    for _ in range(150):
        loss = twin(torch.rand(16, 3, 1, 1).expand(-1, -1, 32, 32)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images = torch.tensor([0.2, 0.8]).reshape(2, 1, 1, 1).expand(2, 3, 32, 32)
    with torch.no_grad():
        found, mask = twin.reconstruct(images)
    hidden = patchify(found, SMALL.patch_size)[mask].reshape(2, -1)  # nobody taught it the visible ones
    assert (hidden.mean(dim=1) - torch.tensor([0.2, 0.8])).abs().max() < 0.1


@pytest.mark.audit
def test_scaling_is_measured_and_projected(monkeypatch, tmp_path):
    argv = ["--data", "samples", "--each", "5", "--steps", "1", "--rounds", "1", "--json", str(tmp_path / "s.json")]
    monkeypatch.setattr(sys, "argv", ["scaling.py", *argv])
    scaling.main()
    measured, projected = json.loads((tmp_path / "s.json").read_text())["table"]
    assert measured["efficiency"] == pytest.approx(measured["two"] / measured["one"] / 2, abs=1e-3)
    assert "not measured" in projected["case"]
    assert projected["gradients_mb"] == 430  # 107.5 million numbers of four bytes


def test_decoding_some_of_the_hidden_patches_is_a_sample_of_the_loss():
    config = replace(SMALL, decoder_cross=True)
    model = MaskedAutoencoder(config)
    some = changed_work.DecodesSome(config, 0.25)
    some.load_state_dict(model.state_dict())
    images, masking = torch.rand(3, 3, *config.hw), Masking.random(3, config.grid[0] * config.grid[1])
    with torch.no_grad():
        whole = model(images, masking)
        part = some(images, masking)
        some.share = 1.0
        every = some(images, masking)
    assert torch.equal(part.mask, masking.mask)
    assert part.pred.shape[1] == round(0.25 * whole.pred.shape[1])
    for mine, all_of_it in zip(part.pred, whole.pred, strict=True):  # each is one of the predictions of the whole
        assert torch.cdist(mine, all_of_it).amin(dim=1).max() < 1e-4
    assert every.loss.item() == pytest.approx(whole.loss.item(), rel=1e-5)
    assert part.loss.item() != pytest.approx(whole.loss.item(), rel=1e-5)


def test_several_masks_of_a_picture_share_no_visible_patch():
    model = changed_work.SeveralMasks(SMALL, 4)
    images = torch.rand(3, 3, *SMALL.hw)
    mask = model(images).mask.reshape(4, 3, -1)
    assert torch.equal((~mask).sum(dim=0), torch.ones_like(mask[0], dtype=torch.long))
    single = changed_work.SeveralMasks(SMALL, 1)
    single.load_state_dict(model.state_dict())
    masking = Masking.random(3, mask.shape[-1])
    expected = MaskedAutoencoder.forward(model, images, masking)
    assert single(images, masking).loss.item() == pytest.approx(expected.loss.item(), rel=1e-6)
    assert torch.equal(model(images, masking).mask[:3], masking.mask), "the first mask is the one that was asked for"


def test_contenders_of_other_work_begin_alike_and_take_as_many_masked_pictures():
    made = changed_work.contenders(replace(SMALL, decoder_cross=True))
    states = [model.state_dict() for model, _, _ in made.values()]
    for state in states[1:]:
        assert all(torch.equal(a, b) for a, b in zip(states[0].values(), state.values(), strict=True))
    assert all(changed_work.SAMPLES % masks == 0 for _, _, masks in made.values())


def test_a_rising_mask_hides_half_at_first_and_three_quarters_from_the_middle_on():
    model = short_run.ChangingMask(SMALL, 8, 0.5)
    images = torch.rand(1, 3, *SMALL.hw)
    patches = SMALL.grid[0] * SMALL.grid[1]
    shares = [model(images).mask.float().mean().item() for _ in range(8)]
    assert shares[0] == 0.5
    assert shares == sorted(shares)
    assert all(share == 0.75 for share in shares[4:])
    assert shares[2] == pytest.approx(0.625, abs=1 / patches)
    assert model.step == 8, "a checkpoint has to know where the schedule stood"
    assert model.eval()(images, 0.5).mask.float().mean() == 0.5, "who evaluates says how much is hidden"


def test_a_rising_mask_shows_at_least_what_the_recipe_shows():
    model, masking = short_run.ChangingMask(SMALL, 4, 0.5), Masking.random(2, SMALL.grid[0] * SMALL.grid[1])
    masks = [model(torch.rand(2, 3, *SMALL.hw), masking).mask for _ in range(3)]
    assert not (masks[0] & ~masking.mask).any()
    assert torch.equal(masks[2], masking.mask)


def test_a_mask_that_falls_shows_some_of_those_that_the_recipe_shows():
    N = SMALL.grid[0] * SMALL.grid[1]
    model, masking = short_run.ChangingMask(SMALL, 4, 0.9), Masking.random(2, N)
    masks = [model(torch.rand(2, 3, *SMALL.hw), masking).mask for _ in range(3)]
    assert masks[0].float().mean() == pytest.approx(0.9, abs=1 / N)
    assert not (~masks[0] & masking.mask).any()
    assert torch.equal(masks[2], masking.mask)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (changed_work.DecodesSome, 0.5),
        (changed_work.SeveralMasks, 2),
        (lambda config, start: short_run.ChangingMask(config, 9, start), 0.5),
    ],
)
def test_a_short_run_can_be_repeated_whatever_was_drawn_before(kind, how, pictures, tmp_path):
    recipe = replace(short_run.RECIPE, batch_size=16, base_lr=0.04)
    data = PackedImages("few", pictures, None, [])
    weights = []
    for name in "ab":
        torch.manual_seed(0)
        made = kind(SMALL, how)
        torch.rand(len(weights))  # the generator stands elsewhere
        trained = short_run.train(made, "run", data, tmp_path / name, recipe)
        weights.append(torch.cat([p.detach().flatten() for p in trained.parameters()]))
    assert torch.equal(*weights)


def test_every_trial_of_the_table_can_be_repeated():
    config = PRESETS["mae_tiny_patch4_64"]
    rows = {row["trial"]: row for row in json.loads((ROOT / "data/results/trials.json").read_text())["table"]}
    assert rows.keys() <= {trial.name for trial in trials.TRIALS}
    for trial in trials.TRIALS:
        if trial.name in rows:
            parameters = sum(p.numel() for p in trials.build(trial, config, 8).parameters())
            assert parameters == rows[trial.name]["parameters"]
        replace(trials.RECIPE, **trial.recipe)


def test_a_share_of_the_labels_holds_every_class_alike_and_the_smaller_shares():
    labels = np.random.default_rng(0).permutation(np.arange(600) % 6)
    tenth, half, whole = (probes.some_of_each(labels, share) for share in (0.1, 0.5, 1.0))
    assert np.array_equal(np.bincount(labels[tenth]), [10] * 6)
    assert set(tenth) < set(half) < set(whole) == set(range(600))
    assert np.array_equal(np.bincount(labels[probes.some_of_each(labels, 1e-6)]), [1] * 6), "at least one of each"
    assert not np.array_equal(tenth, probes.some_of_each(labels, 0.1, seed=1))


def test_probes_compare_layers_and_shares_and_keep_what_they_measured(pictures, tmp_path, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(probes, "encoders", lambda name: {"some": MaskedAutoencoder(SMALL).eval()})
    data = PackedImages("easy", np.concatenate([pictures] * 2), np.arange(96) % 2, ["dark", "light"])
    data.images[::2] //= 4  # so that there is something to tell apart
    rows = probes.probe_rows("", data, data, (0.5, 1.0), 96, tmp_path)
    assert [(row["layer"], row["labels"]) for row in rows[: SMALL.depth]] == [(i + 1, 0.1) for i in range(SMALL.depth)]
    best = max(rows[: SMALL.depth], key=lambda row: row["accuracy"])
    assert [(row["layer"], row["labels"], row["pictures"]) for row in rows[SMALL.depth :]] == [
        (best["layer"], 0.5, 48), (best["layer"], 1.0, 96)
    ]  # fmt: skip
    assert rows[-1]["accuracy"] > 0.95
    monkeypatch.setattr(probes, "features", lambda *_: pytest.fail("pixels were asked again"))
    assert probes.probe_rows("", data, data, (0.5, 1.0), 96, tmp_path) == rows
    with pytest.raises(ValueError, match="easy has no labels"):
        probes.labels_of(PackedImages("easy", pictures, None, []))


def test_the_projection_counts_the_work_of_a_step():
    operations, each, once = projection.work(NAME)
    model = create_model(NAME)
    parameters, c = trainable(model), model.config
    N = c.grid[0] * c.grid[1]
    K = N // 4

    def blocks(depth: int, length: int, width: int) -> int:  # four, then twice four D x D matrices; q k^T, then times v
        return depth * (2 * 12 * length * width**2 + 2 * 2 * length**2 * width)

    embed = 2 * K * c.patch_dim * c.width
    forward = embed + blocks(c.depth, 1 + K, c.width) + 2 * (1 + K) * c.width * c.decoder_width
    forward += blocks(c.decoder_depth, 1 + N, c.decoder_width) + 2 * N * c.decoder_width * c.patch_dim
    assert (
        operations == 3 * forward - embed
    )  # back once for the weights, once for what went in, but not for the picture
    assert once > 7 * 4 * parameters  # AdamW alone reads weight, gradient and two moments, and writes three of them
    assert each > 100 * 4 * 3 * 64 * 64  # a hundred times the picture goes to memory and back, at least


def test_the_weights_of_a_web_page_are_scored_as_evaluate_scores(pictures, monkeypatch, small_model):
    pytest.importorskip("onnxruntime")
    import onnx_precision

    monkeypatch.setattr(onnx_precision, "load", lambda name: small_model.eval())
    monkeypatch.setattr(onnx_precision, "load_dataset", lambda *_, **__: PackedImages("few", pictures, None, []))
    full, half, quarter = onnx_precision.measure("", 5)
    scores = evaluate(small_model, pictures, ("masked",), n=5)["masked"]
    assert full["masked_psnr_db"] == pytest.approx(scores["psnr"], abs=1e-3)
    assert full["furthest"] == full["lost_db"] == 0
    assert quarter["bytes"] < half["bytes"] < full["bytes"]
    assert 0 < half["furthest"] < quarter["furthest"]


def test_pictures_come_in_every_way_of_the_table(monkeypatch, capsys, tmp_path):
    import data

    argv = ["--data", "samples", "--seconds", "0.01", "--consumes", "100", "--json", str(tmp_path / "data.json")]
    monkeypatch.setattr(sys, "argv", ["data.py", *argv])
    assert data.main() == 0
    printed, record = capsys.readouterr().out, json.loads((tmp_path / "data.json").read_text())
    assert record["kind"] == "benchmark"
    assert record["hardware"]
    assert len([row for row in record["table"] if row["what"].startswith("batches")]) == 4
    for row in record["table"]:
        assert f"| {row['what']} |" in printed
        assert row["images_per_s"] == pytest.approx(row["images"] / row["seconds"])


# -- the harness -----------------------------------------------------------------------------------------------------------


def test_every_round_runs_every_contender_in_another_order():
    ran = []
    steps = {name: (lambda name=name: ran.append(name)) for name in "abcd"}
    seconds = harness.seconds_in_turns(steps, rounds=6, repeats=2, device=torch.device("cpu"))
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abcd", 6)
    rounds = [ran[i : i + 8 : 2] for i in range(0, len(ran), 8)]
    assert len(rounds) == 7  # the first does not count
    assert all(sorted(order) == list("abcd") for order in rounds)
    assert len({tuple(order) for order in rounds}) > 3


def test_a_ratio_is_taken_within_a_round():
    """A machine that is slow in some rounds changes both contenders there, and no ratio."""
    seconds = {"ours": [1.0, 10.0, 1.0, 5.0, 1.0], "theirs": [1.5, 15.0, 1.5, 7.5, 99.0]}
    assert harness.times_as_fast(seconds, "ours", "theirs") == 1.5
    assert harness.times_as_fast(seconds, "ours", "ours") == 1


def test_common_options_have_their_defaults_and_a_file_says_where_it_was_measured(tmp_path, capsys):
    args = harness.parser_of("What it is.", "model", "n", "json", n=5).parse_args([])
    assert vars(args) == {"model": "mae_tiny_patch4_64", "n": 5, "json": None}
    harness.write_result(tmp_path / "speed.json", [{"a": 1}], about="words", software=None)
    written = json.loads((tmp_path / "speed.json").read_text())
    assert written["threads"] == torch.get_num_threads()
    assert written.keys() == {"kind", "name", "hardware", "threads", "about", "table"}
    harness.print_machine()
    assert f"{torch.get_num_threads()} threads" in capsys.readouterr().out


SCRIPTS = [path.stem for path in (ROOT / "benchmarks").glob("*.py") if "def main()" in path.read_text()]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_explains_itself(name, monkeypatch, capsys):
    module = pytest.importorskip(name) if name == "explorers" else importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as left:
        module.main()
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert f"python benchmarks/{name}.py" in shown
    assert "--json" in shown or "--out" in shown
