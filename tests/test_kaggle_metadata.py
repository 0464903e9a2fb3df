"""What Kaggle is told about each notebook that trains: checked by Kaggle's own client, offline, and by stricter rules.

The client accepts unknown keys, any machine, an id without an owner, and strings for booleans; the site then starts
something else than was meant.
"""

import importlib
import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import nbformat
import pytest
from conftest import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "notebooks/kaggle").glob("*/kernel-metadata.json"))
REQUIRED = {
    "id", "title", "code_file", "language", "kernel_type", "is_private", "machine_shape", "enable_internet",
    "dataset_sources", "competition_sources", "kernel_sources", "model_sources",
}  # fmt: skip
OPTIONAL = {"keywords", "docker_image_pinning_type"}
MACHINES = {"NvidiaTeslaT4"}  # two of them; P100 and the first TPUs are retired
SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"


def problems(folder: Path, metadata: dict[str, Any]) -> list[str]:
    """What is wrong with a folder for Kaggle by our own rules."""
    found = [f"unknown key {key}" for key in sorted(metadata.keys() - REQUIRED - OPTIONAL)]
    found += [f"missing key {key}" for key in sorted(REQUIRED - metadata.keys())]
    if found:
        return found
    owner, _, slug = metadata["id"].partition("/")
    title = metadata["title"]
    if not (re.fullmatch(r"[a-z0-9]{3,}", owner) and re.fullmatch(SLUG, slug)):
        found.append(f"id {metadata['id']!r} is not owner/slug")
    if re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") != slug:
        found.append(f"title {title!r} does not resolve to {slug!r}")
    if not (5 <= len(title) <= 50 and len(slug) >= 5):
        found.append(f"title {title!r} must have 5 to 50 characters")
    if (metadata["language"], metadata["kernel_type"]) != ("python", "notebook"):
        found.append("not a Python notebook")
    if metadata["machine_shape"] not in MACHINES:
        found.append(f"machine_shape {metadata['machine_shape']!r} is none of {sorted(MACHINES)}")
    found += [
        f"{key} is not true or false" for key in ("is_private", "enable_internet") if type(metadata[key]) is not bool
    ]
    for key in ("dataset_sources", "competition_sources", "kernel_sources", "model_sources"):
        if not isinstance(metadata[key], list):
            found.append(f"{key} is no list")
    datasets = metadata["dataset_sources"]
    if not datasets or not all(re.fullmatch(rf"[a-z0-9]+/{SLUG}", name) for name in datasets):
        found.append(f"dataset_sources {datasets} are not owner/slug")
    notebook = (folder / metadata["code_file"]).resolve()
    if not notebook.is_file():
        found.append(f"code_file {metadata['code_file']} does not exist")
    elif notebook != folder.parents[1].resolve() / f"{folder.name}.ipynb":
        found.append(f"code_file {metadata['code_file']} is not the chapter of this folder's name")
    if extra := sorted(path.name for path in folder.iterdir() if path.name != "kernel-metadata.json"):
        found.append(f"beside the metadata lie {', '.join(extra)}: a copy drifts")
    return found


@pytest.fixture
def push(monkeypatch, tmp_path):
    """Kaggle's own `kernels push` with the connection replaced: a folder -> the request that it would send."""
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))  # nobody's credentials
    monkeypatch.setenv("KAGGLE_USERNAME", "nobody")
    monkeypatch.setenv("KAGGLE_KEY", "0" * 32)
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("the client asked the network"))
    api = importlib.import_module("kaggle.api.kaggle_api_extended").KaggleApi()
    client = MagicMock()
    monkeypatch.setattr(api, "build_kaggle_client", lambda: MagicMock(__enter__=lambda _: client))

    def push(folder: Path) -> Any:
        api.kernels_push(str(folder))
        return client.kernels.kernels_api_client.save_kernel.call_args.args[0]

    return push


def changed(tmp_path: Path, **changes: Any) -> tuple[Path, dict[str, Any]]:
    """A copy of the first folder and of its notebook, with keys of its metadata changed (None removes one)."""
    folder = tmp_path / "notebooks/kaggle" / FOLDERS[0].name
    shutil.copytree(FOLDERS[0], folder)
    metadata = json.loads((folder / "kernel-metadata.json").read_text())
    shutil.copy(FOLDERS[0] / metadata["code_file"], folder / metadata["code_file"])
    metadata = {key: value for key, value in (metadata | changes).items() if value is not None}
    (folder / "kernel-metadata.json").write_text(json.dumps(metadata))
    return folder, metadata


def test_there_is_something_to_check():
    assert [folder.name for folder in FOLDERS] == ["07_train_on_kaggle"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_kaggles_client_takes_every_folder(folder, push, capsys):
    request = push(folder)
    metadata = json.loads((folder / "kernel-metadata.json").read_text())
    assert (request.slug, request.new_title) == (metadata["id"], metadata["title"])
    assert request.machine_shape == "NvidiaTeslaT4"
    assert request.enable_internet is True
    assert request.is_private is True
    assert request.dataset_data_sources == metadata["dataset_sources"]
    notebook = nbformat.read(folder / metadata["code_file"], 4)
    sent = json.loads(request.text)["cells"]
    assert [cell["source"] for cell in sent] == [cell.source for cell in notebook.cells]
    assert not any(cell.get("outputs") for cell in sent)
    said = capsys.readouterr()
    assert "does not resolve" not in said.out
    assert "retired" not in said.err


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_folder_keeps_our_rules(folder):
    assert problems(folder, json.loads((folder / "kernel-metadata.json").read_text())) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"acelerator": "gpu"}, "unknown key acelerator"),
        ({"enable_gpu": True}, "unknown key enable_gpu"),
        ({"enable_internet": None}, "missing key enable_internet"),
        ({"machine_shape": None}, "missing key machine_shape"),
        ({"machine_shape": "NvidiaTeslaP100"}, "machine_shape 'NvidiaTeslaP100' is none of"),
        ({"id": "train-a-masked-autoencoder"}, "is not owner/slug"),
        ({"id": "seeingtheunseen/train_it"}, "is not owner/slug"),
        ({"id": "seeingtheunseen/another-notebook"}, "does not resolve to 'another-notebook'"),
        ({"id": "seeingtheunseen/mae", "title": "MAE"}, "must have 5 to 50 characters"),
        ({"language": "r"}, "not a Python notebook"),
        ({"kernel_type": "script"}, "not a Python notebook"),
        ({"enable_internet": "true"}, "enable_internet is not true or false"),
        ({"is_private": 1}, "is_private is not true or false"),
        ({"kernel_sources": "none"}, "kernel_sources is no list"),
        ({"dataset_sources": []}, "are not owner/slug"),
        ({"dataset_sources": ["tiny-imagenet"]}, "are not owner/slug"),
        ({"code_file": "../../nowhere.ipynb"}, "does not exist"),
    ],
)
def test_each_rule_can_fail(changes, problem, tmp_path):
    assert any(problem in line for line in problems(*changed(tmp_path, **changes)))


def test_a_copy_of_the_notebook_is_refused(tmp_path):
    folder, metadata = changed(tmp_path)
    shutil.copy(folder / metadata["code_file"], folder / "copy.ipynb")
    assert problems(folder, metadata | {"code_file": "copy.ipynb"}) == [
        "code_file copy.ipynb is not the chapter of this folder's name",
        "beside the metadata lie copy.ipynb: a copy drifts",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": "MAE"}, "Title must be at least five characters"),
        ({"code_file": None}, "A source file must be specified"),
        ({"code_file": "../../nowhere.ipynb"}, "Source file not found"),
        ({"id": None}, "ID or slug must be specified"),
        ({"id": "seeingtheunseen/train-a-masked-autoencoder/3"}, "cannot contain a version"),
        ({"language": "julia"}, "A valid language must be specified"),
        ({"kernel_type": "page"}, "A valid kernel type must be specified"),
        ({"dataset_sources": ["tiny-imagenet"]}, "Dataset must be specified in the form of"),
        ({"enable_internet": "perhaps"}, "Invalid boolean value"),
        ({"docker_image_pinning_type": "mine"}, "docker_image_pinning_type must be"),
    ],
)
def test_kaggles_client_refuses_what_it_should(changes, message, tmp_path, push):
    folder, _ = changed(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        push(folder)
