"""Runs a command as on Kaggle without internet: python kaggle_offline.py INPUT COMMAND ...

Where the system allows it, in a network of its own with nothing but the loopback, and with INPUT mounted read-only.
Prints which of the two it got. A guard in the environment's site-packages stands in for the first where it is refused.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

GUARD = """
import socket

connect = socket.socket.connect


def local_only(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no internet here: {address}")
    return connect(self, address)


socket.socket.connect = local_only
"""


def separate() -> bool:
    """Leave the machine's network and mounts; False where the system refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS) and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:  # Jupyter talks to its kernel over the loopback
        try:
            request = fcntl.ioctl(handle, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
            flags = struct.unpack("16sh14x", request)[1]
            fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
        except OSError:
            return False
    return True


def make_read_only(folder: str) -> bool:
    """Mount a folder read-only onto itself, in this process's own mounts; False where the system refuses."""
    steps = [["--make-rprivate", "/"], ["--bind", folder, folder], ["-o", "remount,ro,bind", folder]]
    return all(subprocess.run(["mount", *step], capture_output=True).returncode == 0 for step in steps)


if __name__ == "__main__":
    folder, *command = sys.argv[1:]
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin for work slow everybody on a busy machine
    alone = separate()
    print("network: loopback only" if alone else "network: guarded")
    print("input: read-only" if alone and make_read_only(folder) else "input: writable for root", flush=True)
    os.execv(command[0], command)
