"""Training in two processes under each launcher: the same run, whoever started it and whatever disturbed it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import support
from processes import children, runs, until
from support import TIME_LIMIT_S, checkpoints, default_signals, metrics, same_runs

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", "--bind-to", "none"]
ONE_CORE = min(os.sched_getaffinity(0))
SHORT = ["--set", "checkpoint.every_steps=2", "--set", "deterministic=true", "--devices", "cpu:1"]


class Launched:
    """A training that a launcher runs in two processes."""

    def __init__(self, folder, path, dataset, launcher=(), environment=None):
        self.folder, self.run = folder, folder / "run"
        self.environment = {**(environment or os.environ), "LC_ALL": "C.UTF-8"}
        (folder / "recipe.toml").write_text(support.RECIPE)
        self.command = [*(launcher or [path, "launch", "-n", "2", "--"]), *([path] if launcher else []), "train",
                        "recipe.toml", "--data", dataset, "--out", "run", *SHORT]
        self.process = None

    def start(self, *more):
        with (self.folder / "said").open("ab") as said:
            self.process = subprocess.Popen([*map(str, self.command), *more], cwd=self.folder, env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                                            preexec_fn=default_signals)

    def wait(self):
        return self.process.wait(TIME_LIMIT_S)

    def finish(self, *more):
        self.start(*more)
        assert self.wait() == 0, self.said()

    def said(self):
        return (self.folder / "said").read_text(errors="replace")

    def steps(self):
        return len([line for line in metrics(self.run) if line["group"] == "train"]) if (
            self.run / "metrics.jsonl").exists() else 0

    def trainers(self):
        """The processes that train, in the order of their start."""
        found, waiting = [], [self.process]
        while waiting:
            for pid in children(waiting.pop()):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                if b"train" in words[:2]:
                    found.append(pid)
                waiting.append(pid)
        return sorted(found)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def task_of_slurm(folder, number):
    """The process that Slurm counts so, of a training in `folder`: slurmd's child, not srun's."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if (process / "cwd").readlink() != folder or words[1:2] != [b"train"]:
                continue
            if f"SLURM_PROCID={number}".encode() in (process / "environ").read_bytes().split(b"\0"):
                return int(process.name)
        except OSError:
            continue  # it has ended meanwhile
    raise AssertionError(f"there is no task {number}")


@pytest.fixture
def launched(path, dataset, tmp_path):
    """Makes a Launched, which is over when the test is."""
    made = []

    def launched(launcher=(), environment=None):
        made.append(Launched(tmp_path, path, dataset, launcher, environment))
        return made[-1]

    yield launched
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def undisturbed(path, dataset, tmp_path_factory):
    """The run's folder of two processes that `launch` started and nobody disturbed."""
    training = Launched(tmp_path_factory.mktemp("undisturbed"), path, dataset)
    training.finish()
    return training.run


@pytest.mark.parametrize("launcher", [[*TORCHRUN, "--no-python"], MPIRUN], ids=["torchrun", "mpirun"])
def test_run_is_the_same_under_every_launcher(launched, undisturbed, launcher):
    training = launched(launcher)
    training.finish()
    same_runs(undisturbed, training.run)


@pytest.mark.parametrize("nodes", [1, 2], ids=["one machine", "two machines"])
def test_run_is_the_same_under_srun(launched, undisturbed, slurm, nodes):
    # As many compute threads as the processes of one machine have, and a name that is known here for the first node.
    training = launched(["srun", "-N", nodes, "-n", 2, "taskset", "-c", ONE_CORE],
                        {**slurm.environment, "MASTER_ADDR": "127.0.0.1"})
    training.finish()
    same_runs(undisturbed, training.run)


def test_process_of_another_machine_that_is_killed_is_named(launched, slurm):
    training = launched(["srun", "--kill-on-bad-exit=0", "-N", 2, "-n", 2],
                        {**slurm.environment, "MASTER_ADDR": "127.0.0.1"})
    training.start("--set", "train.epochs=100")
    until(lambda: training.steps() >= 2, training.process)
    os.kill(task_of_slurm(training.folder, 1), signal.SIGKILL)
    begin = time.monotonic()
    assert training.wait() != 0
    assert time.monotonic() - begin < 10
    assert "millrace: process 1 (rank 1, on " in training.said()


@pytest.mark.parametrize("victim", [0, 1])
def test_killed_process_ends_the_run_with_its_name(launched, victim):
    training = launched()
    training.start()
    until(lambda: training.steps() >= 2, training.process)
    pids = training.trainers()
    assert len(pids) == 2
    os.kill(pids[victim], signal.SIGKILL)
    begin = time.monotonic()
    assert training.wait() == 1
    assert time.monotonic() - begin < 10
    assert not any(runs(pid) for pid in pids)
    assert f"millrace: process {victim} of 2 was killed by SIGKILL" in training.said().splitlines()[-1]


def test_launchs_restart_after_a_kill_gives_the_same_end(launched, undisturbed):
    training = launched()
    training.command[4:4] = ["--restarts", "1"]
    training.start()
    until(lambda: training.steps() >= 3, training.process)
    os.kill(training.trainers()[1], signal.SIGKILL)
    assert training.wait() == 0, training.said()
    assert "starting all processes again from the newest checkpoint (1 of 1)" in training.said()
    same_runs(undisturbed, training.run)


def test_torchruns_restart_after_a_kill_gives_the_same_end(launched, undisturbed):
    training = launched([*TORCHRUN, "--max-restarts", "1", "--no-python"])
    training.start("--resume", "auto")
    until(lambda: training.steps() >= 3, training.process)
    os.kill(training.trainers()[1], signal.SIGKILL)
    assert training.wait() == 0, training.said()
    same_runs(undisturbed, training.run)


def test_stopped_launcher_leaves_one_checkpoint_that_goes_on(launched, undisturbed):
    training = launched()
    training.start()
    until(lambda: training.steps() >= 3, training.process)
    training.process.send_signal(signal.SIGTERM)
    assert training.wait() == 3, training.said()
    step = max(line["step"] for line in metrics(training.run))
    assert checkpoints(training.run)[-1].name == f"step-{step:08}.safetensors"
    training.finish("--resume", "auto")
    same_runs(undisturbed, training.run)
