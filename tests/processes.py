"""Processes that tests start. They end with the test, and with pytest, however that ends: torchrun takes its workers along."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    if LIBC is not None:
        LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: pytest may be killed, too


@contextmanager
def started(command: list, **options) -> Iterator[subprocess.Popen]:
    """A process that is ended, and waited for, when the block is left."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | options.pop("env", {})
    command = list(map(str, command))
    with subprocess.Popen(command, text=True, env=environment, preexec_fn=_end_with_parent, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # torchrun passes it on
                try:
                    process.wait(40)
                finally:
                    process.kill()


def finished(command: list, timeout: float = 240, **options) -> subprocess.CompletedProcess:
    """What a command says, and its status, once it has ended."""
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def torchrun(count: int, *command: object) -> list:
    """A script and its arguments, or `-m` and a module, as so many processes; one needs no launcher."""
    if count == 1:
        return [sys.executable, *command]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}", *command]
