"""The glossary's tables of names: what they say of maelib, timm and transformers is there."""

import re
from functools import reduce
from importlib.metadata import version

import pytest
import torch
from conftest import ROOT

from maelib import Masking, create_model
from maelib.loss import reconstruction_loss
from maelib.patches import patchify, unpatchify

TEXT = (ROOT / "book" / "glossary.md").read_text()


def table(title: str) -> dict[str, list[list[str]]]:
    """Each column of a table by its heading, a list of the names in every cell."""
    head, rows = re.search(rf"^(\| {title} \|.*)\n\|---.*\n((?:\|.*\n)+)", TEXT, re.M).groups()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]
    names = [heading.strip() for heading in head.strip("|").split("|")]
    return {name: [re.findall(r"`([^`]+)`", row[i]) for row in cells] for i, name in enumerate(names)}


def resolve(thing, path: str):
    """The attribute at a dotted path, where a number is an index."""
    return reduce(lambda one, name: one[int(name)] if name.isdigit() else getattr(one, name), path.split("."), thing)


def ours():
    return create_model("mae_tiny_patch4_64_plain", depth=1)


def timms():
    return pytest.importorskip("timm").create_model("vit_tiny_patch16_224", depth=1)


def theirs():
    transformers = pytest.importorskip("transformers")
    if int(version("transformers").split(".")[0]) < 5:
        pytest.skip("the table has the names of transformers 5")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {f"decoder_{name}": value for name, value in sizes.items()}
    return transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(image_size=32, patch_size=16, **sizes))


MODELS = {"maelib": (ours, "encoder.blocks.0"), "timm": (timms, "blocks.0"), "transformers": (theirs, "vit.layers.0")}


@pytest.mark.parametrize("library", MODELS)
def test_names_are_there(library):
    make, first_block = MODELS[library]
    model = make()
    columns = table("in the model"), table("in a block")
    paths = [path for names in columns[0][library] for path in names]
    paths += [f"{first_block}.{path}" for names in columns[1][library] for path in names]
    assert len(paths) >= 11
    for path in paths:
        assert resolve(model, path) is not None
    with pytest.raises(AttributeError):
        resolve(model, paths[0] + "_of_another_name")


def test_rows_of_transformers_are_the_same_things():
    """After conversion each parameter of a row holds as many numbers as ours, and of what is one tensor the same ones."""
    from maelib.interop.huggingface import from_huggingface

    model = theirs()
    converted, names = from_huggingface(model), table("in the model")
    compared = 0
    for own, other in zip(names["maelib"], names["transformers"], strict=True):
        if own[0].startswith("config"):
            continue
        a, b = resolve(converted, own[0]), resolve(model, other[0])
        if isinstance(a, torch.nn.Module):
            sizes = [sum(p.numel() for p in part.parameters()) for part in (a, b)]
            assert sizes[0] == sizes[1] > 0, own
        else:
            assert torch.equal(a.flatten(), b.flatten()), own
            compared += 1
    assert compared == 4  # two tokens, two tables of positions


def test_names_at_work():
    names = table("at work")
    noise = torch.rand(2, 4)
    masking = Masking.from_noise(noise, 0.5)
    here = {"Masking": Masking, "masking": masking, "patchify": patchify, "unpatchify": unpatchify}
    here |= {"reconstruction_loss": reconstruction_loss}
    for path in [path for cell in names["maelib"] for path in cell]:
        first, *rest = path.split(".")
        assert reduce(getattr, rest, here[first]) is not None
    model = theirs()
    output = model(torch.rand(2, 3, 32, 32), noise=noise)
    for path in [path for cell in names["transformers"] for path in cell]:
        assert path in output or resolve(model, path) is not None
    assert set(output.mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(output.mask.bool(), Masking.from_noise(noise, model.config.mask_ratio).mask)
