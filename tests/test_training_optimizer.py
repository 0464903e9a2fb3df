"""The optimizer: PyTorch's schedule with its ends in place, decay where it belongs."""

import copy

import pytest
import torch
from torch import nn

from maelib.training import TrainConfig
from maelib.training.optimizer import learning_rate, make_optimizer, parameter_groups


def test_the_schedule_is_pytorchs_warm_up_and_cosine():
    total, warmup, peak = 50, 10, 3e-3
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, 1.0, warmup - 1),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, 1e-5),
        ],
        [warmup],
    )
    for step in range(total):
        assert learning_rate(step, total, warmup, peak, 1e-5) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-6
        )
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("warmup", [1, 8])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_the_schedule_rises_to_its_peak_and_falls_to_its_end(warmup, final):
    total, peak = warmup + 20, 0.5

    def rate(step):
        return learning_rate(step, total, warmup, peak, final)

    assert rate(0) == pytest.approx(peak / warmup), "the first step has a rate already"
    assert rate(warmup - 1) == pytest.approx(peak), "the last step of the warm-up has the peak"
    assert rate(warmup) == pytest.approx(peak), "and so has the first one of the cosine"
    assert rate(warmup + 10) == pytest.approx((peak + final) / 2), "halfway down it is the mean"
    assert rate(total - 1) > final
    assert rate(total) == pytest.approx(final), "the step after the last would have the final rate"


def test_without_a_warm_up_the_first_step_has_the_peak():
    assert learning_rate(0, 10, 0, 0.5) == 0.5
    assert learning_rate(9, 10, 10, 0.5) == 0.5  # nothing but warm-up


def test_the_peak_learning_rate_grows_with_the_batch():
    assert TrainConfig(base_lr=1e-3, batch_size=256).peak_lr == pytest.approx(1e-3)
    assert TrainConfig(base_lr=1e-3, batch_size=64).peak_lr == pytest.approx(2.5e-4)


def test_only_matrices_decay(small_model):
    decayed, others = parameter_groups(small_model, 0.05)
    names = {id(p): name for name, p in small_model.named_parameters()}
    assert all(names[id(p)].endswith("weight") and "norm" not in names[id(p)] for p in decayed["params"])
    assert all(names[id(p)].endswith(("bias", "token")) or "norm" in names[id(p)] for p in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(names)
    optimizer = make_optimizer(small_model, 1e-3, 0.05, (0.9, 0.95))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0.0]
    assert optimizer.defaults["betas"] == (0.9, 0.95)


def test_a_step_without_gradients_shrinks_matrices_and_nothing_else(small_model):
    before = {}
    for name, parameter in small_model.named_parameters():
        if parameter.dim() < 2:
            nn.init.ones_(parameter)  # biases begin at 0, where no decay would show
        parameter.grad = torch.zeros_like(parameter)
        before[name] = parameter.detach().clone()
    make_optimizer(small_model, 0.1, 0.5, (0.9, 0.95)).step()
    for name, parameter in small_model.named_parameters():
        matrix = name.endswith("weight") and "norm" not in name
        torch.testing.assert_close(parameter.detach(), before[name] * (0.95 if matrix else 1.0), msg=name)


def test_frozen_parameters_are_left_out(small_model):
    small_model.encoder.requires_grad_(False)
    found = [p for group in make_optimizer(small_model, 0.1, 0.5, (0.9, 0.95)).param_groups for p in group["params"]]
    assert {id(p) for p in found} == {id(p) for p in small_model.decoder.parameters()}


# -- Muon ----------------------------------------------------------------------------------------------------------------

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch older than 2.9 has no Muon")


@needs_muon
def test_muon_takes_the_matrices_of_the_blocks_and_adamw_the_rest(small_model):
    muon, adamw = make_optimizer(small_model, 1e-3, 0.05, (0.9, 0.95), muon_lr=0.01).optimizers
    names = {id(p): name for name, p in small_model.named_parameters()}
    taken = {names[id(p)] for p in muon.param_groups[0]["params"]}
    assert taken == {name for name, p in small_model.named_parameters() if ".blocks." in name and p.dim() == 2}
    rest = [names[id(p)] for group in adamw.param_groups for p in group["params"]]
    assert sorted([*taken, *rest]) == sorted(names.values())
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.05, 0.0]
    assert "encoder.embed.weight" in {names[id(p)] for p in adamw.param_groups[0]["params"]}


@needs_muon
def test_a_step_of_muon_turns_every_direction_alike(small_model):
    """The gradient's singular values differ by orders; those of the step are all about 0.2 of the rate times the root of the
    longer side, which is the size of AdamW's steps."""
    name, matrix = next((n, p) for n, p in small_model.named_parameters() if n.endswith("blocks.0.mlp.0.weight"))
    before = matrix.detach().clone()
    for parameter in small_model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    u, v = torch.linalg.qr(torch.randn(128, 32))[0], torch.linalg.qr(torch.randn(32, 32))[0]
    matrix.grad = u @ torch.diag(torch.logspace(-1.5, 1, 32)) @ v
    make_optimizer(small_model, 1e-3, 0.0, (0.9, 0.95), muon_lr=0.01).step()
    size = torch.linalg.svdvals(matrix.detach() - before) / (0.01 * 0.2 * 128**0.5)
    assert 0.5 < size.min() < size.max() < 1.4, name


@needs_muon
def test_several_optimizers_keep_their_states_together(small_model):
    def gradients() -> None:
        torch.manual_seed(1)
        for parameter in small_model.parameters():
            parameter.grad = torch.randn_like(parameter)

    optimizer = make_optimizer(small_model, 1e-3, 0.05, (0.9, 0.95), muon_lr=0.01)
    gradients()
    optimizer.step()
    optimizer.zero_grad()
    assert all(p.grad is None for p in small_model.parameters())
    twin = copy.deepcopy(small_model)
    other = make_optimizer(twin, 1e-3, 0.05, (0.9, 0.95), muon_lr=0.01)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    gradients()
    for own, theirs in zip(small_model.parameters(), twin.parameters(), strict=True):
        theirs.grad = own.grad.clone()
    optimizer.step()
    other.step()
    assert all(torch.equal(a, b) for a, b in zip(small_model.parameters(), twin.parameters(), strict=True))


def test_without_muon_adamw_takes_all_and_says_so(small_model, monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.warns(UserWarning, match=r"torch .* has no Muon, 2.9 has: AdamW takes all parameters"):
        optimizer = make_optimizer(small_model, 1e-3, 0.05, (0.9, 0.95), muon_lr=0.01)
    assert type(optimizer) is torch.optim.AdamW
