"""Probes: neighbours and linear classifiers as others compute them, features of whole pictures, what a chapter relies on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from torch.nn import functional as F

from maelib import MaskedAutoencoder
from maelib.evaluation.probes import DECAYS, LinearProbe, fit_linear, knn_predict, layer_features, nearest


@pytest.fixture
def clusters():
    """Features (90, 6) about three centres, with labels, and 30 more to ask about."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    centres = torch.randn(3, 6, generator=random)
    x = centres[labels] + 0.7 * torch.randn(120, 6, generator=random)
    return x[:90], labels[:90], x[90:], labels[90:]


def test_the_last_layer_is_what_encode_returns_before_its_norm(small_model, pictures):
    small_model.eval()
    found = layer_features(small_model, pictures[:5], batch_size=2, progress=False)
    assert found.shape == (5, small_model.config.depth, small_model.config.width)
    assert found.dtype == torch.float32
    images = torch.from_numpy(pictures[:5]).permute(0, 3, 1, 2) / 255
    small_model.encoder.norm = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(found[:, -1], small_model.encode(images, pool="mean"), atol=1e-4, rtol=1e-4)
    assert not any(block._forward_hooks for block in small_model.encoder.blocks)


def test_features_are_of_pictures_standardised_by_the_model(small_model, pictures):
    other = MaskedAutoencoder(replace(SMALL, pixel_mean=0.25, pixel_std=0.5))
    other.load_state_dict(small_model.state_dict())
    images = torch.from_numpy(pictures[:5]).permute(0, 3, 1, 2) / 255
    small_model.encoder.norm = torch.nn.Identity()
    with torch.no_grad():
        expected = small_model.encode((images - 0.25) / 0.5, pool="mean")
    torch.testing.assert_close(layer_features(other, pictures[:5], progress=False)[:, -1], expected)


def test_hooks_go_away_after_an_error(small_model, pictures):
    with pytest.raises(ValueError, match="images must be"):
        layer_features(small_model, pictures[:2, :, :, :1], progress=False)
    assert not any(block._forward_hooks for block in small_model.encoder.blocks)


def test_neighbours_are_those_of_scipy(clusters):
    known, _, asked, _ = clusters
    distance = cdist(asked, known, "cosine")
    similarity, index = nearest(asked, known, 5)
    assert np.array_equal(index, distance.argsort(axis=1)[:, :5])
    np.testing.assert_allclose(similarity, 1 - np.sort(distance, axis=1)[:, :5], atol=1e-5)
    with pytest.raises(ValueError, match="k must be from 1 to the 90 features there are, got 91"):
        nearest(asked, known, 91)


def test_one_neighbour_decides_alone_and_length_does_not_matter(clusters):
    known, labels, asked, truth = clusters
    alone = knn_predict(asked, known, labels, k=1)
    assert torch.equal(alone, labels[nearest(asked, known, 1)[1][:, 0]])
    longer = known * torch.linspace(0.1, 100, len(known))[:, None]
    assert torch.equal(knn_predict(asked, longer, labels), knn_predict(asked, known, labels))
    uneven = torch.cat([(labels == c).nonzero()[: 30 - 5 * c, 0] for c in range(3)])  # 30, 25 and 20 of the classes
    everybody = knn_predict(asked, known[uneven], labels[uneven], k=75, temperature=1e6)
    assert (everybody == 0).all(), "where all vote alike, the commonest class wins"
    assert (knn_predict(asked, known, labels) == truth).float().mean() > 0.8


def test_logistic_regression_reaches_the_minimum_that_scipy_finds(clusters):
    x, labels, _, _ = clusters
    linear = fit_linear(x, labels, decay=1e-2)

    def loss(flat):
        weight, bias = torch.from_numpy(flat[:18]).reshape(3, 6), torch.from_numpy(flat[18:])
        value = F.cross_entropy(x.double() @ weight.T + bias, labels) + 1e-2 * weight.square().sum()
        return value.item()

    ours = np.concatenate([linear.weight.detach().flatten().double(), linear.bias.detach().double()])
    best = minimize(loss, np.zeros(21), method="BFGS")
    assert loss(ours) == pytest.approx(best.fun, abs=1e-5)
    np.testing.assert_allclose(ours[:18], best.x[:18], atol=5e-3)


def test_a_standardised_probe_does_not_care_for_scale_and_shift(clusters):
    known, labels, asked, truth = clusters
    scale = torch.tensor([1e-3, 1.0, 1e3, 5.0, 0.1, 20.0])
    plain = LinearProbe(known, labels, decay=1e-2)
    moved = LinearProbe(known * scale + 7, labels, decay=1e-2)
    assert torch.equal(plain.predict(asked), moved.predict(asked * scale + 7))
    assert plain.accuracy(asked, truth) > 0.8
    raw = LinearProbe(known * scale, labels, decay=1e-2, standardise=False)
    assert not torch.equal(plain.predict(asked), raw.predict(asked * scale)), "without it, scale decides"
    constant = torch.cat([known, torch.ones(90, 1)], dim=1)
    assert torch.isfinite(LinearProbe(constant, labels, decay=1e-2).linear.weight).all()


def test_the_decay_is_chosen_without_the_pictures_asked_about(clusters):
    known, labels, asked, truth = clusters
    probe = LinearProbe(known, labels)
    assert probe.decay in DECAYS
    again = LinearProbe(known, labels)
    assert again.decay == probe.decay
    assert torch.equal(again.predict(asked), probe.predict(asked))
    assert probe.accuracy(asked, truth) > 0.8


def test_a_probe_needs_labels_and_classes(clusters):
    known, labels, _, _ = clusters
    with pytest.raises(ValueError, match="got 89 labels for 90 features"):
        LinearProbe(known, labels[:-1])
    with pytest.raises(ValueError, match="at least two classes, got only class 1"):
        LinearProbe(known, torch.ones(90, dtype=torch.long))
    with pytest.raises(ValueError, match="a fifth of 4 features is none"):
        LinearProbe(known[:4], labels[:4])
