"""Runs that were killed or stopped and went on: the same end as the run that nobody disturbed."""

import random
import signal
import time

import pytest
from support import TIME_LIMIT_S, checkpoints, metrics, same_runs, same_tensors


class Training:
    """A training run in the background, disturbed when something is the case."""

    def __init__(self, millrace, dataset):
        self.millrace, self.run = millrace, millrace.folder / "run"
        self.arguments = ["train", "recipe.toml", "--data", dataset, "--out", "run", "--resume", "auto"]
        self.process = None

    def start(self):
        with (self.millrace.folder / "stderr").open("wb") as stderr:
            self.process = self.millrace.start(*self.arguments, stderr=stderr)

    def said(self):
        return (self.millrace.folder / "stderr").read_text()

    def disturb(self, sign, when):
        """Sends the signal once `when(self)` holds; gives the exit code."""
        deadline = time.monotonic() + TIME_LIMIT_S
        while self.process.poll() is None and not when(self):
            assert time.monotonic() < deadline, "what was waited for does not come"
            time.sleep(0.0005)
        assert self.process.poll() is None, f"it ended before it could be disturbed:\n{self.said()}"
        self.process.send_signal(sign)
        return self.process.wait(TIME_LIMIT_S)

    def finish(self):
        self.millrace.done(*self.arguments)

    def lines(self):
        try:
            return metrics(self.run)
        except FileNotFoundError:
            return []


@pytest.fixture
def training(millrace, recipe, dataset):
    training = Training(millrace, dataset)
    yield training
    if training.process is not None and training.process.poll() is None:
        training.process.kill()
        training.process.wait()


def after_the_first_step(training):
    return training.lines()


def with_a_half_checkpoint(training):
    return any((training.run / "checkpoints").glob("*.tmp"))


def right_after_a_checkpoint(training):
    return (training.run / "checkpoints/step-00000004.safetensors").exists()


def amid_an_evaluation(training):
    return "validate" in training.said()


def right_after_an_evaluation(training):
    return any(line["group"] == "val" for line in training.lines())


@pytest.mark.parametrize("when", [after_the_first_step, with_a_half_checkpoint, right_after_a_checkpoint,
                                  amid_an_evaluation, right_after_an_evaluation])
def test_kill_then_resume_gives_the_same_end(training, straight, when):
    training.start()
    assert training.disturb(signal.SIGKILL, when) == -signal.SIGKILL
    training.finish()
    same_runs(straight, training.run)
    assert not list(training.run.rglob("*.tmp"))


def test_killed_at_random_again_and_again_gives_the_same_end(training, straight):
    draw = random.Random(21)
    for _ in range(5):
        training.start()
        moment = time.monotonic() + draw.uniform(0.2, 2.5)
        while training.process.poll() is None and time.monotonic() < moment:
            time.sleep(0.01)
        training.process.kill()
        training.process.wait()
    training.finish()
    same_runs(straight, training.run)


def has_three_lines(training):
    return len(training.lines()) >= 3


@pytest.mark.parametrize(("sign", "when"), [
    (signal.SIGTERM, amid_an_evaluation), (signal.SIGINT, has_three_lines), (signal.SIGHUP, has_three_lines),
])
def test_stop_writes_a_checkpoint_and_resume_gives_the_same_end(training, straight, sign, when):
    training.start()
    assert training.disturb(sign, when) == 3
    step = max(line["step"] for line in training.lines())
    assert checkpoints(training.run)[-1].name == f"step-{step:08}.safetensors"
    assert "stopping after the step under way" in training.said()
    assert f"interrupted at step {step} of 14; checkpoint run/checkpoints/step-{step:08}.safetensors" in training.said()
    assert "--resume auto" in training.said()
    training.finish()
    same_runs(straight, training.run)


def test_stop_before_the_first_step_leaves_a_run_that_goes_on(training, straight):
    training.start()
    code = training.disturb(signal.SIGTERM, lambda training: (training.run / "config.toml").exists())
    assert code == 3, training.said()
    training.finish()
    same_runs(straight, training.run)


def test_second_stop_ends_at_once(training, dataset):
    training.start()
    deadline = time.monotonic() + TIME_LIMIT_S
    while not training.lines() and time.monotonic() < deadline:
        time.sleep(0.001)
    training.process.send_signal(signal.SIGTERM)
    while "once more to stop at once" not in training.said() and time.monotonic() < deadline:
        time.sleep(0.0005)
    training.process.send_signal(signal.SIGTERM)
    # 143 as a shell would say it; 3 when the step under way was faster.
    assert training.process.wait(TIME_LIMIT_S) in (128 + signal.SIGTERM, 3)


def test_reader_of_the_output_gone_does_not_end_the_run(millrace, recipe, dataset):
    process = millrace.start("train", recipe, "--data", dataset, "--out", "run", "--set", "train.max_steps=3")
    assert process.stderr.readline()
    process.stderr.close()
    process.stdout.read()
    assert process.wait(TIME_LIMIT_S) == 0
    assert [path.name for path in checkpoints(millrace.folder / "run")] == ["step-00000003.safetensors"]


def test_kept_checkpoints_and_best_weights_are_as_many_as_asked(straight):
    assert [path.name for path in checkpoints(straight)] == ["step-00000012.safetensors", "step-00000014.safetensors"]
    assert len(list((straight / "best").iterdir())) == 1
    best = next((straight / "best").iterdir())
    values = {line["step"]: line["top1"] for line in metrics(straight) if line["group"] == "val"}
    step = max(values, key=values.get)
    assert best.name == f"step-{step:08}-top1-{values[step]:.4f}.safetensors"


def test_best_weights_are_those_of_their_checkpoint(millrace, recipe, dataset):
    # With one evaluation, at the end, the best weights are the last ones.
    millrace.done("train", recipe, "--data", dataset, "--out", "run", "--set", "train.max_steps=2")
    run = millrace.folder / "run"
    millrace.done("export", "run", "--to", "weights.safetensors")
    same_tensors(next((run / "best").iterdir()), millrace.folder / "weights.safetensors")
