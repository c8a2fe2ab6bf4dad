"""A Slurm cluster of two nodes on this machine, with its own munge, for the tests' time; needs root."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

# Nothing is controlled or bound: the nodes claim cores and GPUs that the machine may not have. A node whose daemon the
# machine's other work keeps from answering is waited for (by default 10 s, after which nothing runs there until it is
# asked again 100 s later) and soon asked again.
CONFIGURATION = """
ClusterName=millrace
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
MessageTimeout=60
SlurmdTimeout=60
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=64 Gres=gpu:8
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=64 Gres=gpu:8
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
DEADLINE_S = 120


def free_ports(count):
    """Ports that nobody listens at, now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Slurm:
    """Started by `with`; `environment` makes srun, sbatch and their like speak with it."""

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, []
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        self.environment["SLURM_CONF"] = str(folder / "slurm.conf")

    def __enter__(self):
        for name in ["state", "spool.n1", "spool.n2"]:
            (self.folder / name).mkdir(parents=True)
        # munged refuses a socket in a folder that not everybody can reach, or that others can write.
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(folder=self.folder, ports=free_ports(3)))
        for gpu in range(8):
            (self.folder / f"gpu{gpu}").touch()
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-7]\n")
        try:
            self.start("munged", "--foreground", "--force", f"--key-file={key}",
                       *(f"--{what}-file={self.folder}/munged.{what}" for what in ["pid", "log", "seed"]),
                       f"--socket={self.folder}/munge.socket")
            self.wait_for("munge", "--socket", self.folder / "munge.socket", "--no-input")
            self.start("slurmctld", "-D")
            for node in ["n1", "n2"]:
                self.start("slurmd", "-D", "-N", node)
            self.wait_for("srun", "--immediate=5", "-N", "2", "true")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(2)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def start(self, name, *arguments):
        program = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons.append(subprocess.Popen([program, *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                                                 stdout=out, stderr=out))

    def wait_for(self, *command):
        """Until this succeeds."""
        deadline = time.monotonic() + DEADLINE_S
        while (result := self.run(*command)).returncode != 0:
            assert time.monotonic() < deadline, f"{command}: {result.stderr}\n{self.logs()}"
            time.sleep(0.1)

    def run(self, *command, **options):
        try:
            return subprocess.run([*map(str, command)], env=self.environment, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=DEADLINE_S, check=False, **options)
        except subprocess.TimeoutExpired as stuck:
            raise AssertionError(f"{stuck}\n{self.logs()}") from None

    def logs(self):
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}"
                         for path in sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out")))
