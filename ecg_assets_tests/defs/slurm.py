"""A Slurm of one machine: its three daemons, on 127.0.0.1, from Debian's slurm-wlm and munge."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "squeue", "scancel")
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=3
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 Gres=gpu:1
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def find_obstacle() -> str:
    """Say why Slurm cannot be started here; empty where it may."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        return f"{', '.join(missing)} are not installed (Debian's slurm-wlm and munge)"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started by root alone"


@contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """Start it, with a node of one GPU (that nobody uses); give what srun needs to find it."""
    # Not in pytest's folder: the path of a socket has at most 107 letters.
    with tempfile.TemporaryDirectory(prefix="slurm") as name:
        folder = Path(name)
        host = socket.gethostname().partition(".")[0]
        config = CONFIG.format(folder=folder, host=host, ports=_free_ports())
        (folder / "slurm.conf").write_text(config)
        (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o600)
        (folder / "spool").mkdir()
        environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
        }
        munged = ["munged", "--force", f"--key-file={folder}/key"]
        munged += [f"--socket={folder}/munge.socket"]
        munged += [f"--{one}-file={folder}/munged.{one}" for one in ("pid", "log", "seed")]
        try:
            for command in (munged, ["slurmctld"], ["slurmd", "-N", host]):
                subprocess.run(command, env={**os.environ, **environment}, check=True)
            _wait_until_idle(environment)
            yield environment
        finally:
            for daemon in ("slurmd", "slurmctld", "munged"):
                _end(folder / f"{daemon}.pid")


def jobs_of(environment: dict[str, str]) -> list[str]:
    """List the state of each job, e.g. RUNNING."""
    return _say(["squeue", "--noheader", "--format=%T"], environment).split()


def cancel_all(environment: dict[str, str]) -> None:
    """Cancel all jobs, as an administrator or a failing node would."""
    _say(["scancel", "--user=root"], environment)


def wait_for(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a function says so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _say(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    return done.stdout


def _wait_until_idle(environment: dict[str, str]) -> None:
    wait_for(lambda: "idle" in _say(["sinfo", "--noheader", "--format=%T"], environment), 20.0)


def _free_ports() -> list[int]:
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _end(pid_file: Path) -> None:
    """End a daemon that this module started, by its own file."""
    if not pid_file.is_file():
        return
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 20.0)
