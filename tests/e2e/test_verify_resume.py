"""`train --stop-after` and `train --verify-resume`: a run in pieces is the run that nobody disturbed."""

import os
import signal
import time

import pytest
from support import TIME_LIMIT_S, checkpoints, metrics, same_runs


def test_stop_after_ends_behind_its_step_and_the_run_goes_on_to_the_same_end(millrace, recipe, dataset, straight):
    arguments = ["train", recipe, "--data", dataset, "--out", "run", "--resume", "auto"]
    for step in (3, 7, 9):  # behind 7 an evaluation is due
        result = millrace(*arguments, "--stop-after", step)
        assert result.code == 3, result.err
        assert f"interrupted at step {step} of 14" in result.err
        assert checkpoints(millrace.folder / "run")[-1].name == f"step-{step:08}.safetensors"
    millrace.refuses(2, *arguments, "--stop-after", 9, says="--stop-after 9: the run has done 9 steps already")
    millrace.done(*arguments)
    same_runs(straight, millrace.folder / "run")


def test_lanes_stop_behind_the_same_step(millrace, recipe, dataset):
    arguments = ["train", recipe, "--data", dataset, "--out", "run", "--devices", "cpu:2", "--set", "train.log_every_steps=1"]
    assert millrace(*arguments, "--stop-after", 2).code == 3
    assert metrics(millrace.folder / "run")[-1]["step"] == 2


def test_verify_resume_finds_the_same_run(millrace, recipe, dataset):
    result = millrace.done("train", recipe, "--data", dataset, "--out", "proof", "--verify-resume", "--json")
    told = result.json()
    assert told["same"] and told["steps"] == 14
    assert len(told["stops"]) == 3 and told["stops"] == sorted(set(told["stops"])) and 0 < told["stops"][0]
    for step in told["stops"]:
        assert f"interrupted at step {step} of 14" in result.err
    same_runs(millrace.folder / "proof/undisturbed", millrace.folder / "proof/resumed")
    millrace.refuses(2, "train", recipe, "--data", dataset, "--out", "proof", "--verify-resume", says="is there already")


def wait_for_metrics(process, file):
    deadline = time.monotonic() + TIME_LIMIT_S
    while not file.exists() or not file.read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)


def test_verify_resume_that_finds_another_run_says_where(millrace, recipe, dataset):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("needs two cores")
    process = millrace.start("train", recipe, "--data", dataset, "--out", "proof", "--verify-resume",
                             preexec_fn=lambda: os.sched_setaffinity(0, cores[:2]))
    wait_for_metrics(process, millrace.folder / "proof/undisturbed/metrics.jsonl")
    # Pieces that start from now on compute with one thread, which adds up in another order.
    os.sched_setaffinity(process.pid, cores[:1])
    out, _ = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 1
    first, *middle, last = out.decode().splitlines()
    assert first.startswith("A: undisturbed, B: stopped and resumed after steps ")
    assert "environment: threads_per_lane: 2 in A, 1 in B" in middle
    assert last.startswith("not the same run (loss, stage train_step): step ")


def test_verify_resume_refuses_what_it_cannot_do(millrace, tiny_recipe, dataset):
    arguments = ["train", tiny_recipe, "--data", dataset, "--out", "proof", "--verify-resume"]
    millrace.refuses(2, *arguments, "--resume", "auto", says="leave out --resume and --stop-after")
    message = millrace.refuses(2, *arguments, "--set", "train.max_steps=1", says="a run of a single step cannot be stopped")
    assert "train longer" in message
    millrace.refuses(1, *arguments[:4], "--out", "bad", "--verify-resume", "--set", "optimizer.lr='x'",
                     says="the undisturbed run ended with exit code 2; its messages are above")


def test_verify_resume_passes_an_interruption_on(millrace, tiny_recipe, dataset):
    process = millrace.start("train", tiny_recipe, "--data", dataset, "--out", "proof", "--verify-resume")
    wait_for_metrics(process, millrace.folder / "proof/undisturbed/metrics.jsonl")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 1 and b"interrupted; what has been trained is in proof" in err
    assert checkpoints(millrace.folder / "proof/undisturbed") and not (millrace.folder / "proof/resumed").exists()
