"""One run on several devices of several processes: the same run, however they are split up, whatever happens to one."""

import json
import os
import signal
import time

import pytest
from support import Result, TIME_LIMIT_S, checkpoints, metrics, pictures, same_runs


class Ranks:
    """Processes of one run on this machine, each with its output; the last one may get arguments of its own."""

    def __init__(self, millrace, number, *arguments, last=()):
        self.store = millrace.folder / f"store-{time.monotonic_ns()}"
        self.processes = []
        for process in range(number):
            place = {"MILLRACE_PROCESS": process, "MILLRACE_PROCESSES": number, "MILLRACE_LOCAL_PROCESS": process,
                     "MILLRACE_LOCAL_PROCESSES": number, "MILLRACE_STORE": self.store, "MILLRACE_RUN_ID": "test"}
            environment = {**millrace.environment, **{name: str(value) for name, value in place.items()}}
            own = last if process == number - 1 else ()
            self.processes.append(millrace.start(*arguments, *own, env=environment))

    def results(self):
        results = []
        for process in self.processes:
            out, err = process.communicate(timeout=TIME_LIMIT_S)
            results.append(Result(process.returncode, out.decode(), err.decode()))
        return results

    def done(self):
        results = self.results()
        for result in results:
            assert result.code == 0, [f"{result.code}: {result.err}" for result in results]
        return results


@pytest.fixture
def on_one_core(monkeypatch):
    """How sums are split up must not depend on the cores of this machine: one thread for each device."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


STEPS = ("--set", "train.log_every_steps=1", "--set", "batch.per_device=4", "--set", "batch.evaluate_per_device=4")


def until(condition, processes=()):
    end = time.monotonic() + TIME_LIMIT_S
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def train(recipe, dataset, out, *more, devices="cpu"):
    return ["train", recipe, "--data", dataset, "--out", out, "--devices", devices, *STEPS, *more]


def reached(run, step):
    """Whether metrics.jsonl tells of that training step."""
    path = run / "metrics.jsonl"
    return path.is_file() and path.read_text().count('"train"') >= step


def test_lanes_and_processes_are_the_same_run_bit_by_bit(millrace, recipe, dataset, on_one_core):
    steps = ("--set", "train.max_steps=50", "--set", "train.epochs=4")
    millrace.done(*train(recipe, dataset, "lanes", *steps, devices="cpu:2"))
    outputs = Ranks(millrace, 2, *train(recipe, dataset, "processes", *steps)).done()
    assert len([line for line in metrics(millrace.folder / "lanes") if line["group"] == "train"]) == 50
    same_runs(millrace.folder / "lanes", millrace.folder / "processes")
    assert outputs[1].out == "" and outputs[1].err == "", "the second process has nothing to say"
    # Again, with other timing.
    Ranks(millrace, 2, *train(recipe, dataset, "again", *steps, "--set", "pipeline.workers=5")).done()
    same_runs(millrace.folder / "lanes", millrace.folder / "again")
    # Whoever had a sample, the first process shows it.
    shown = [pictures(millrace.folder / run) for run in ["lanes", "processes", "again"]]
    assert len(shown[0]) == 12 and shown[0] == shown[1] == shown[2]


def test_two_processes_of_two_lanes_are_four_lanes(millrace, recipe, dataset, on_one_core):
    steps = ("--set", "train.max_steps=3")
    millrace.done(*train(recipe, dataset, "lanes", *steps, devices="cpu:4"))
    Ranks(millrace, 2, *train(recipe, dataset, "processes", *steps, devices="cpu:2")).done()
    same_runs(millrace.folder / "lanes", millrace.folder / "processes")


def test_growing_pictures_and_repeated_samples_are_the_same_run_bit_by_bit(millrace, recipe, dataset, on_one_core):
    # Epochs of 5 steps with pictures of 16, 24 and 32 pixels; the copies of a sample are on different ranks.
    steps = ("--set", "train.epochs=3", "--set", "train.max_steps=12", "--set", "batch.global=24", "--set", "model.width=8",
             "--set", "model.stochastic_depth=0.5", "--set", "data.train.repeats=3",
             "--set", "data.train.progressive={ from = 16, begin_epoch = 0, end_epoch = 2, step = 8 }")
    millrace.done(*train(recipe, dataset, "lanes", *steps, devices="cpu:2"))
    Ranks(millrace, 2, *train(recipe, dataset, "processes", *steps, "--set", "pipeline.workers=5")).done()
    assert len(losses(millrace.folder / "lanes")) == 12
    same_runs(millrace.folder / "lanes", millrace.folder / "processes")


def losses(run):
    return [line["loss"] for line in metrics(run) if line["group"] == "train"]


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_synchronised_batch_normalisation_is_that_of_one_device_with_the_whole_batch(millrace, recipe, dataset, on_one_core,
                                                                                     micro_batches):
    # Small steps: sums that are split up otherwise round otherwise, which turns rectifiers over, and each step multiplies
    # what follows from that.
    few = ("--set", "train.max_steps=3", "--set", "model.width=16", "--set", "optimizer.lr=1e-5")

    def run(out, lanes, *more):
        sizes = ("--set", f"batch.per_device={16 // lanes}", "--set", f"batch.global={16 * micro_batches}")
        millrace.done(*train(recipe, dataset, out, *sizes, *few, *more, devices=f"cpu:{lanes}"))
        return losses(millrace.folder / out)

    synchronised = ("--set", "model.sync_batch_norm=true")
    whole = run("whole", 1)
    assert len(whole) == 3
    assert run("alone", 1, *synchronised) == whole, "one device has nobody to share with"
    assert run("shared", 2, *synchronised) == pytest.approx(whole, rel=1e-5)
    assert run("apart", 2) != pytest.approx(whole, rel=1e-3)
    assert run("idle", 1, "--set", "optimizer.lr=0") != pytest.approx(whole, rel=1e-4), "gradients do not count"


def test_synchronised_lanes_and_processes_are_the_same_run_bit_by_bit(millrace, recipe, dataset, on_one_core):
    steps = ("--set", "train.max_steps=6", "--set", "model.sync_batch_norm=true", "--set", "batch.global=16",
             "--set", "model.width=16")
    millrace.done(*train(recipe, dataset, "lanes", *steps, devices="cpu:2"))
    Ranks(millrace, 2, *train(recipe, dataset, "processes", *steps, "--set", "pipeline.workers=5")).done()
    assert len(losses(millrace.folder / "lanes")) == 6
    same_runs(millrace.folder / "lanes", millrace.folder / "processes")


def test_synchronised_kill_of_a_process_ends_all_with_its_name(millrace, recipe, dataset):
    ranks = Ranks(millrace, 2, *train(recipe, dataset, "run", "--set", "train.epochs=100", "--set", "batch.global=16",
                                      "--set", "model.sync_batch_norm=true"))
    until(lambda: reached(millrace.folder / "run", 2), ranks.processes)
    ranks.processes[1].kill()
    killed = time.monotonic()
    survivor = ranks.results()[0]
    assert time.monotonic() - killed < 10
    assert survivor.code == 1, survivor.err
    assert "process 1 (rank 1, on " in survivor.message()


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_evaluation_counts_every_sample_once(millrace, recipe, dataset, straight, processes):
    weights = checkpoints(straight)[-1]
    # 45 samples: 7 batches, of which the last is short.
    command = ["eval", recipe, "--data", dataset, "--weights", weights, "--json", "--set",
               "batch.evaluate_per_device=7", "--devices", "cpu"]
    alone = millrace.done(*command).json()
    results = Ranks(millrace, processes, *command).done()
    assert json.loads(results[0].out) == alone
    assert alone["samples"] == 45
    assert all(result.out == "" for result in results[1:])


def test_more_ranks_than_batches_evaluate_too(millrace, recipe, dataset):
    few = ("--set", "batch.evaluate_per_device=40", "--set", "train.max_steps=2")
    Ranks(millrace, 3, *train(recipe, dataset, "run", *few)).done()
    assert [line for line in metrics(millrace.folder / "run") if line["group"] == "val"][0]["samples"] == 45


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_kill_of_any_process_ends_all_with_its_name(millrace, recipe, dataset, victim):
    ranks = Ranks(millrace, 3, *train(recipe, dataset, "run", "--set", "train.epochs=100"))
    until(lambda: reached(millrace.folder / "run", 2), ranks.processes)
    ranks.processes[victim].kill()
    killed = time.monotonic()
    results = ranks.results()
    assert time.monotonic() - killed < 10
    for process, result in enumerate(results):
        if process == victim:
            continue
        assert result.code == 1, result.err
        assert f"process {victim} (rank {victim}, on " in result.message()
        assert "has ended without a word: it was killed, or it crashed" in result.message()


@pytest.mark.parametrize("asked", [0, 1])
def test_sigterm_at_one_process_ends_all_with_one_checkpoint(millrace, recipe, dataset, on_one_core, asked):
    steps = ("--set", "train.max_steps=40", "--set", "train.epochs=4", "--set", "checkpoint.every_steps=0",
             "--set", "data.val.split=val")
    ranks = Ranks(millrace, 2, *train(recipe, dataset, "run", *steps))
    until(lambda: reached(millrace.folder / "run", 2), ranks.processes)
    ranks.processes[asked].send_signal(signal.SIGTERM)
    assert [result.code for result in ranks.results()] == [3, 3]
    assert len(checkpoints(millrace.folder / "run")) >= 1
    Ranks(millrace, 2, *train(recipe, dataset, "run", *steps, "--resume", "auto")).done()
    millrace.done(*train(recipe, dataset, "straight", *steps, devices="cpu:2"))
    same_runs(millrace.folder / "straight", millrace.folder / "run")


def test_resume_on_another_number_of_ranks_sees_the_same_samples(millrace, recipe, dataset):
    def run(processes, out, steps, *more):
        command = train(recipe, dataset, out, "--set", "batch.global=24", "--set", f"train.max_steps={steps}", "--set",
                        "optimizer.lr=0", *more)
        return Ranks(millrace, processes, *command).done()

    # Without learning the losses tell of the samples alone, but for their last bits.
    run(3, "whole", 8)
    run(2, "parts", 3)
    run(3, "parts", 5, "--resume", "auto")
    run(1, "parts", 8, "--resume", "auto")

    whole, parts = losses(millrace.folder / "whole"), losses(millrace.folder / "parts")
    assert len(whole) == 8
    assert parts == pytest.approx(whole, rel=1e-5)


def test_failure_of_one_process_is_the_message_of_all(millrace, recipe, dataset):
    command = train(recipe, dataset, "run", "--set", "train.epochs=100")
    ranks = Ranks(millrace, 2, *command, "--set", "checkpoint.every_steps=1")
    until(lambda: reached(millrace.folder / "run", 2), ranks.processes)
    (millrace.folder / "run" / "checkpoints").rename(millrace.folder / "away")
    results = ranks.results()
    assert [result.code for result in results] == [1, 1]
    assert "checkpoints" in results[0].message()
    assert results[0].message() == results[1].message()


@pytest.mark.parametrize(("own", "says"), [
    (("--set", "seed=5"), "the processes of this run have different recipes, of the first and of this one: seed: 0"),
    (("--set", "optimizer.momentum=0"), "of this one: optimizer.momentum: 0.9 before, 0"),
])
def test_processes_of_different_runs_are_refused(millrace, recipe, dataset, own, says):
    results = Ranks(millrace, 2, *train(recipe, dataset, "run"), last=own).results()
    assert [result.code for result in results] == [1, 1]
    for result in results:
        assert "process 1 (rank 1, on " in result.message() and says in result.message()
    assert not (millrace.folder / "run").exists()


def test_mistake_of_one_process_is_the_message_of_all(millrace, recipe, dataset):
    results = Ranks(millrace, 2, *train(recipe, dataset, "run"), last=("--set", "optimizer.name=adm")).results()
    assert [result.code for result in results] == [2, 2]
    for result in results:
        assert "process 1 (rank 1, on " in result.message() and "adm" in result.message()


def test_process_that_stalls_is_named(millrace, recipe, dataset):
    ranks = Ranks(millrace, 2, *train(recipe, dataset, "run", "--set", "train.epochs=100", "--set",
                                      "train.stall_timeout_s=3"))
    until(lambda: reached(millrace.folder / "run", 2), ranks.processes)
    ranks.processes[1].send_signal(signal.SIGSTOP)
    try:
        out, err = ranks.processes[0].communicate(timeout=TIME_LIMIT_S)
    finally:
        ranks.processes[1].kill()
        ranks.processes[1].communicate()
    message = Result(ranks.processes[0].returncode, out.decode(), err.decode()).message()
    assert "rank 1 of process 1 (rank 1, on " in message
    assert " of step " in message and " within 3 s, for which the others wait" in message
