"""The cache under several processes, killed processes and a full disk."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from datasets_helpers import load, packed_folder, write_photos

TESTS = Path(__file__).resolve().parent


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def start(script: str, *arguments: object) -> subprocess.Popen:
    """A process of its own that runs a script."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_a_full_disk_is_an_error_and_leaves_nothing(photos: Path, tmp_path: Path):
    script = """
        import resource, sys
        from maelib.datasets import DatasetError, load_dataset
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            load_dataset(sys.argv[1], size=64, cache=sys.argv[2])
        except DatasetError as error:
            print(error)
    """
    output, errors = start(script, photos, tmp_path / "cache").communicate(timeout=60)
    assert "cannot write the cache" in output, errors
    assert [path.name for path in (tmp_path / "cache").iterdir() if not path.name.endswith(".lock")] == []


def test_processes_that_pack_at_once_do_the_work_once(photos: Path, tmp_path: Path):
    script = """
        import sys, time, zlib
        from pathlib import Path
        from maelib.datasets import load_dataset, packed
        photos, cache, here = map(Path, sys.argv[1:4])
        decode = packed.decode_one
        def counted(*given):
            with (here / "decoded").open("a") as file:
                file.write("x")
            time.sleep(0.01)
            return decode(*given)
        packed.decode_one = counted
        (here / f"ready-{sys.argv[4]}").touch()
        while not (here / "go").exists():
            time.sleep(0.001)
        data = load_dataset(photos, size=16, cache=cache)
        print(zlib.crc32(data.images), data.labels.tolist())
    """
    processes = [start(script, photos, tmp_path / "cache", tmp_path, i) for i in range(2)]
    for i, process in enumerate(processes):
        wait_for(tmp_path / f"ready-{i}", process)
    (tmp_path / "go").touch()
    outcomes = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in outcomes] == ["", ""]
    assert len({output for output, _ in outcomes}) == 1
    assert len((tmp_path / "decoded").read_text()) == 38


# Where the process is when it is killed: the function that signals and then hangs.
MOMENTS = {
    "while decoding": "slow(packed, 'decode_one', after=20)",
    "before the seal": "slow(packed, '_seal', after=1)",  # the first call looks at the cache that is not there
    "before the rename": "slow(packed.Path, 'rename')",
    "after the rename": "slow(packed, '_map')",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_process_harms_nobody(moment: str, photos: Path, tmp_path: Path):
    script = f"""
        import itertools, sys, time
        from pathlib import Path
        from maelib.datasets import load_dataset, packed
        def slow(owner, name, after=0):
            original, calls = getattr(owner, name), itertools.count()
            def hang(*arguments):
                if next(calls) >= after:
                    Path(sys.argv[3]).touch()
                    time.sleep(600)
                return original(*arguments)
            setattr(owner, name, hang)
        {MOMENTS[moment]}
        load_dataset(sys.argv[1], size=16, cache=sys.argv[2])
    """
    cache, signalled = tmp_path / "cache", tmp_path / "signalled"
    process = start(script, photos, cache, signalled)
    wait_for(signalled, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    folders = [path for path in cache.iterdir() if path.is_dir()]
    assert len(folders) == 1  # what it left
    assert (".part-" in folders[0].name) == (moment != "after the rename")
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(photos, cache)
    assert time.monotonic() - started < 30  # nobody waits for the dead
    np.testing.assert_array_equal(data.images, load(photos, tmp_path / "other").images)
    assert ".part-" not in packed_folder(cache).name
