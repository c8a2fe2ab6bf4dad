"""What real launchers tell the processes that they start: torchrun, Open MPI's mpirun and Slurm's srun."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from slurm import free_ports
from support import TIME_LIMIT_S, checkpoints, default_signals, metrics

LAUNCH_FILES = sorted((Path(__file__).resolve().parents[2] / "experiments/launch").iterdir())
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe"]


def judge(path):
    """The program that prints where it stands."""
    program = path.parent / "tests/pipeline/placement_judge"
    assert program.is_file(), f"{program} is not there: run './check build release placement_judge'"
    return program


@pytest.fixture
def standing(path, tmp_path):
    """Runs a command that starts `judge` in several processes; gives what each printed, in order."""

    def standing(*command, environment=None, count=2):
        result = subprocess.run([*map(str, command)], env={**(environment or os.environ), "TMPDIR": str(tmp_path)},
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIME_LIMIT_S,
                                check=False)
        assert result.returncode == 0, result.stderr
        told = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        assert len(told) == count, result.stdout
        return sorted(told, key=lambda one: one["process"])

    return standing


def common(told, *names):
    """Asserts that all processes say the same of these, and gives it."""
    [values] = {tuple(one[name] for name in names) for one in told}
    return values[0] if len(names) == 1 else values


def test_torchrun_is_understood(path, standing):
    told = standing(*TORCHRUN, "--standalone", "--nproc-per-node", 2, "--no-python", judge(path))
    assert [(one["process"], one["local_process"]) for one in told] == [(0, 0), (1, 1)]
    assert common(told, "num_processes", "num_local_processes", "source") == (2, 2, "torchrun")
    address, port, agent = common(told, "master_address", "master_port", "master_is_agent")
    assert address and port > 0 and agent
    assert common(told, "store_file") == ""
    assert common(told, "run_id")


def test_torchruns_on_two_machines_are_understood(path, standing, tmp_path):
    # Two agents on this machine, each as if on its own.
    both = tmp_path / "both.sh"
    both.write_text('for i in 0 1; do "$@" --node-rank $i --no-python $JUDGE & done; wait\n')
    told = standing("sh", both, *TORCHRUN, "--nnodes", 2, "--nproc-per-node", 2, "--master-addr", "127.0.0.1",
                    "--master-port", free_ports(1)[0], count=4, environment={**os.environ, "JUDGE": str(judge(path))})
    assert [(one["process"], one["local_process"]) for one in told] == [(0, 0), (1, 1), (2, 0), (3, 1)]
    assert common(told, "num_processes", "num_local_processes") == (4, 2)
    assert common(told, "run_id", "master_port")


def test_torchruns_restart_has_another_run_id(path, standing, tmp_path):
    script = tmp_path / "once.sh"
    script.write_text(f'{judge(path)} && [ "$TORCHELASTIC_RESTART_COUNT" = 1 ]\n')
    told = standing(*TORCHRUN, "--standalone", "--nproc-per-node", 1, "--max-restarts", 1, "--no-python", "sh", script)
    # A single process needs no meeting; two do.
    assert common(told, "num_processes", "source") == (1, "torchrun")
    script.write_text(f'{judge(path)}; sleep 0.5; [ "$TORCHELASTIC_RESTART_COUNT" = 1 ]\n')
    told = standing(*TORCHRUN, "--standalone", "--nproc-per-node", 2, "--max-restarts", 1, "--no-python", "sh", script,
                    count=4)
    assert sorted(one["run_id"][-2:] for one in told) == [".0", ".0", ".1", ".1"]


def test_mpirun_is_understood(path, standing, tmp_path):
    told = standing(*MPIRUN, "-n", 2, "--bind-to", "none", judge(path))
    assert [(one["process"], one["local_process"]) for one in told] == [(0, 0), (1, 1)]
    assert common(told, "num_processes", "num_local_processes", "source") == (2, 2, "Open MPI")
    store = Path(common(told, "store_file"))
    assert store.parent == tmp_path / f"millrace-{os.getuid()}"
    assert store.parent.stat().st_mode & 0o777 == 0o700
    assert not common(told, "owns_cores")
    again = standing(*MPIRUN, "-n", 2, judge(path))
    assert common(again, "store_file") != str(store)


def test_mpirun_that_binds_gives_each_process_its_cores(path, standing):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    told = standing(*MPIRUN, "-n", 2, "--bind-to", "core", judge(path))
    assert common(told, "owns_cores", "cores") == (True, 1)


def test_srun_on_one_machine_meets_in_a_file(path, standing, slurm, tmp_path):
    told = standing("srun", "-N", 1, "-n", 2, judge(path), environment=slurm.environment)
    assert [(one["process"], one["local_process"]) for one in told] == [(0, 0), (1, 1)]
    assert common(told, "num_processes", "num_local_processes", "source") == (2, 2, "Slurm")
    assert Path(common(told, "store_file")).parent == tmp_path / f"millrace-{os.getuid()}"
    assert common(told, "store_folder_is_there")
    assert common(told, "master_address") == ""


def test_srun_on_two_machines_meets_at_the_first(path, standing, slurm):
    told = standing("srun", "-N", 2, "-n", 3, judge(path), environment=slurm.environment, count=3)
    assert [(one["process"], one["local_process"], one["num_local_processes"]) for one in told] == [
        (0, 0, 2), (1, 1, 2), (2, 0, 1)]
    address, port = common(told, "master_address", "master_port")
    assert address == "n1" and 15000 <= port < 25000
    assert common(told, "store_file") == ""


def test_steps_of_one_job_do_not_meet(path, standing, slurm, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\nsrun --overlap -N1 -n2 {judge(path)} &\nsrun --overlap -N1 -n2 {judge(path)} &\nwait\n{judge(path)}\n")
    standing("sbatch", "--wait", "-N", 1, "-n", 4, "-o", tmp_path / "out", script, environment=slurm.environment, count=0)
    told = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert len(told) == 5
    # The script's own shell is no step, though Slurm says that there are 4 tasks.
    assert [one["source"] for one in told if one["num_processes"] == 1] == [""]
    assert len({one["store_file"] for one in told if one["num_processes"] == 2}) == 2


def test_mpirun_in_a_slurm_job_is_open_mpi(path, standing, slurm, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\n{' '.join(MPIRUN)} -n 2 {judge(path)}\n")
    standing("sbatch", "--wait", "-N", 1, "-n", 2, "-o", tmp_path / "out", script, environment=slurm.environment, count=0)
    told = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines() if line.startswith("{")]
    assert common(told, "num_processes", "source") == (2, "Open MPI")


def test_torchruns_that_do_not_know_of_each_other_are_refused(path, slurm):
    result = slurm.run("srun", "-N", 2, "-n", 2, *TORCHRUN, "--standalone", "--nproc-per-node", 2, "--no-python",
                       judge(path))
    assert result.returncode != 0
    assert "SLURM_STEP_NUM_TASKS is 2, but GROUP_WORLD_SIZE is 1" in result.stderr


# ---- how launchers stop what they have started ----

JOB = "to-be-cancelled"
INTERRUPTION = {
    "torchrun": [*TORCHRUN, "--standalone", "--nproc-per-node", "1", "--no-python", "MILLRACE"],
    # mpirun waits out its timeout, however soon the process ends.
    "mpirun": [*MPIRUN, "-n", "1", "--bind-to", "none", "--mca", "odls_base_sigkill_timeout", "5",
               "MILLRACE"],
    "srun": ["srun", "-J", JOB, "-n", "1", "MILLRACE"],
    # Slurm signals the launcher and its processes alike.
    "launch in srun": ["srun", "-J", JOB, "-n", "1", "MILLRACE", "launch", "-n", "1", "--"],
}


@pytest.mark.parametrize("launcher", INTERRUPTION)
def test_launcher_that_is_stopped_leaves_time_for_a_checkpoint(millrace, recipe, dataset, slurm, launcher):
    command = [str(millrace.path) if word == "MILLRACE" else word for word in INTERRUPTION[launcher]]
    with (millrace.folder / "said").open("wb") as said:
        process = subprocess.Popen([*command, "train", recipe, "--data", dataset, "--out", "run",
                                    "--set", "train.epochs=100"], cwd=millrace.folder, env=slurm.environment,
                                   stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=default_signals)
    try:
        run = millrace.folder / "run"
        deadline = time.monotonic() + TIME_LIMIT_S
        while not (run / "metrics.jsonl").exists() or len(metrics(run)) < 3:
            assert process.poll() is None and time.monotonic() < deadline, (millrace.folder / "said").read_text()
            time.sleep(0.01)
        if "srun" in command:
            assert slurm.run("scancel", "--name", JOB).returncode == 0
        else:
            process.send_signal(signal.SIGTERM)
        # What the launchers of others answer is theirs to choose.
        assert process.wait(TIME_LIMIT_S) == (3 if "srun" in command else 1)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    step = max(line["step"] for line in metrics(run))
    assert f"interrupted at step {step} of 700; checkpoint" in (run / "log.txt").read_text()
    assert checkpoints(run)[-1].name == f"step-{step:08}.safetensors"


# ---- the files of experiments/launch ----


def command_of(file):
    """The `millrace launch` that makes the file, as it says itself."""
    [command] = re.findall(r"^# millrace (launch .*)$", file.read_text(), re.MULTILINE)
    return command.split()


@pytest.mark.parametrize("file", LAUNCH_FILES, ids=lambda file: file.name)
def test_launch_file_is_what_print_says(millrace, file):
    assert millrace.done(*command_of(file)).out == file.read_text()


@pytest.mark.parametrize("file", [file for file in LAUNCH_FILES if file.suffix == ".yaml"], ids=lambda file: file.name)
def test_manifest_holds_together(file):
    documents = list(yaml.safe_load_all(file.read_text()))
    *services, job = documents
    if job["kind"] == "Job":
        [service] = services
        assert job["spec"]["completionMode"] == "Indexed"
        assert job["spec"]["completions"] == job["spec"]["parallelism"]
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
        pods = [job["spec"]["template"]["spec"]]
        [container] = pods[0]["containers"]
        environment = {one["name"]: one["value"] for one in container["env"]}
        assert environment["WORLD_SIZE"] == str(job["spec"]["completions"])
        # Kubernetes names pods JOB-INDEX, within the service of their subdomain.
        assert environment["MASTER_ADDR"] == f"{job['metadata']['name']}-0.{pods[0]['subdomain']}"
        assert pods[0]["subdomain"] == service["metadata"]["name"]
        assert pods[0]["restartPolicy"] == "Never", "podFailurePolicy asks for it"
        for rule in job["spec"]["podFailurePolicy"]["rules"]:
            assert rule["onExitCodes"]["containerName"] == container["name"]
    else:
        assert job["kind"] == "PyTorchJob" and not services
        replicas = job["spec"]["pytorchReplicaSpecs"]
        assert replicas["Master"]["replicas"] == 1
        pods = [replica["template"]["spec"] for replica in replicas.values()]
        # The operator looks for this name.
        assert all(pod["containers"][0]["name"] == "pytorch" for pod in pods)
    for pod in pods:
        [container] = pod["containers"]
        assert container["command"] == ["millrace"] and container["args"][0] == "train"
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}


@pytest.mark.parametrize("file", [file for file in LAUNCH_FILES if file.suffix != ".yaml"], ids=lambda file: file.name)
def test_script_calls_its_launcher_with_what_it_knows(file, tmp_path, slurm):
    """The script runs with a stand-in for the program; its launcher is the real one where that needs no cluster."""
    program = tmp_path / "millrace"
    program.write_text('#!/bin/sh\necho "started $*"\n')
    program.chmod(0o755)
    # As the wheel's own script, wherever PyTorch lies.
    torchrun = tmp_path / "torchrun"
    torchrun.write_text(f'#!/bin/sh\nexec {shlex.join(TORCHRUN)} "$@"\n')
    torchrun.chmod(0o755)
    text = file.read_text()
    if file.suffix == ".sbatch":
        result = slurm.run("sbatch", "--test-only", file)
        assert result.returncode == 0, result.stderr
        assert "using 128 processors on nodes n[1-2]" in result.stderr
        return
    environment = {**slurm.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}",
                   "MASTER_ADDR": "127.0.0.1", "HOSTS": str(tmp_path / "hosts")}
    # One machine that offers as much as two.
    (tmp_path / "hosts").write_text("localhost slots=16\n")
    if "mpirun" in text:
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        text = text.replace("-N 8", "-N 16")
    result = subprocess.run(["sh", "-c", text], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=TIME_LIMIT_S, check=False)
    assert result.returncode == 0, result.stderr
    started = [line for line in result.stdout.splitlines() if line.startswith("started ")]
    [line] = set(started)
    assert line.startswith("started train configs/imagenet-resnet50.toml") and line.endswith("--resume auto")
    assert len(started) == (16 if "mpirun" in text else 8)
