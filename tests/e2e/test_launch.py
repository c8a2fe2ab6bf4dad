"""`millrace launch`: several processes that print, fail, stop and die together."""

import os
import re
import signal

import pytest
from processes import children, runs, until
from support import TIME_LIMIT_S, checkpoints, metrics, same_runs
from terminal import on_a_terminal


@pytest.fixture
def start(millrace):
    """Starts a launcher in the background, which is killed when the test is over."""
    started = []

    def start(*arguments):
        with (millrace.folder / "stderr").open("ab") as stderr:
            started.append(millrace.start("launch", *arguments, stderr=stderr))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_lines_of_all_processes_but_the_first_have_their_number(millrace, recipe):
    alone = millrace.done("config", recipe).out.splitlines()
    out = millrace.done("launch", "-n", 3, "--", "config", recipe).out.splitlines()
    for number in ["1", "2"]:
        assert [line[4:] for line in out if line.startswith(f"[{number}] ")] == alone
    assert [line for line in out if not re.match(r"\[[12]\] ", line)] == alone


def test_options_after_the_dashes_are_the_verbs(millrace, recipe):
    out = millrace.done("launch", "-n", 1, "--", "config", recipe, "--set", "seed=7").out
    assert "seed = 7\n" in out
    assert "millrace verify" in millrace.done("launch", "-n", 1, "--", "verify", "--help").out


def test_failure_is_the_last_message_and_the_exit_code(millrace):
    result = millrace("launch", "-n", 2, "--", "config", "missing.toml")
    assert result.code == 2
    assert re.fullmatch(r"process [01] of 2: there is no recipe missing.toml", result.message().removeprefix("millrace: "))
    result = millrace("launch", "-n", 2, "--", "verify", "nothing-here")
    assert result.code in (1, 2)
    assert re.match(r"millrace: process [01] of 2: .*nothing-here", result.message())


@pytest.mark.parametrize(("arguments", "says"), [
    (["-n", 2], "VERB is required"),
    (["--", "config"], "--processes is required"),
    (["-n", 0, "--", "config"], "1 to 1024"),
    (["-n", 2, "--nodes", 2, "--", "config"], "give --master HOST:PORT"),
    (["-n", 2, "--node", 1, "--", "config"], "there are 1 machines"),
    (["-n", 2, "--master", "a:1", "--", "config"], "give --nodes"),
    (["-n", 2, "--restarts", 1, "--", "eval"], "which only `train` writes"),
    (["-n", 2, "--print", "slrum", "--", "eval"], 'did you mean "slurm"?'),
], ids=str)
def test_command_line_wrong_is_refused(millrace, arguments, says):
    assert len(millrace.refuses(2, "launch", *arguments, says=says).splitlines()) == 1


def test_launcher_inside_a_launcher_is_refused(millrace):
    message = millrace.refuses(2, "launch", "-n", 2, "--", "launch", "-n", 2, "--", "config",
                               says="millrace launch has already started 2 processes")
    assert re.match(r"millrace: process [01] of 2: ", message)


def test_bar_of_the_first_process_and_lines_of_the_others_share_a_terminal(millrace, dataset):
    screen = on_a_terminal(millrace, 100, "launch", "-n", 2, "--", "verify", dataset)
    shown = [line for line in screen.lines if line]
    bars = [line for line in shown if line.startswith("verify  [") and "100%" in line]
    assert len(bars) == 1 and "[====" in bars[0], shown
    assert any(line.startswith("[1] verify ") and "100%" in line for line in shown), shown
    assert all(line.startswith(("verify", "[1] ")) for line in shown), shown


TRAIN = ["train", "recipe.toml", "--out", "run"]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_to_the_launcher_ends_with_a_checkpoint(millrace, start, recipe, dataset, straight, sign):
    process = start("-n", 1, "--", *TRAIN, "--data", dataset)
    run = millrace.folder / "run"
    until(lambda: (run / "metrics.jsonl").exists() and len(metrics(run)) >= 3, process)
    process.send_signal(sign)
    assert process.wait(TIME_LIMIT_S) == 3
    step = max(line["step"] for line in metrics(run))
    assert checkpoints(run)[-1].name == f"step-{step:08}.safetensors"
    millrace.done("launch", "-n", 1, "--", *TRAIN, "--data", dataset, "--resume", "auto")
    same_runs(straight, run)


def test_signal_to_all_processes_at_once_counts_as_one(millrace, start, recipe, dataset):
    # As schedulers do that end a job.
    process = start("-n", 1, "--", *TRAIN, "--data", dataset)
    run = millrace.folder / "run"
    until(lambda: (run / "metrics.jsonl").exists() and len(metrics(run)) >= 3, process)
    for pid in [*children(process), process.pid]:
        os.kill(pid, signal.SIGTERM)
    assert process.wait(TIME_LIMIT_S) == 3


def test_second_signal_ends_at_once(millrace, start, recipe, dataset):
    process = start("-n", 1, "--", *TRAIN, "--data", dataset)
    until(lambda: (millrace.folder / "run/metrics.jsonl").exists(), process)
    [child] = children(process)
    process.send_signal(signal.SIGINT)
    until(lambda: "once more to stop at once" in (millrace.folder / "stderr").read_text(), process)
    process.send_signal(signal.SIGINT)
    # 3 when the step under way was faster.
    assert process.wait(TIME_LIMIT_S) in (128 + signal.SIGINT, 3)
    assert not runs(child)


def test_processes_die_with_a_launcher_that_is_killed(millrace, start, recipe, dataset):
    process = start("-n", 1, "--", *TRAIN, "--data", dataset)
    until(lambda: (millrace.folder / "run/metrics.jsonl").exists(), process)
    pids = children(process)
    assert pids
    process.kill()
    process.wait()
    until(lambda: not any(runs(pid) for pid in pids))


def test_restarts_go_on_to_the_same_end(millrace, start, recipe, dataset, straight):
    process = start("-n", 1, "--restarts", 2, "--", *TRAIN, "--data", dataset)
    run = millrace.folder / "run"
    killed = []
    for step in [5, 10]:
        until(lambda: (run / "metrics.jsonl").exists() and len(metrics(run)) > step
              and [pid for pid in children(process) if pid not in killed], process)  # noqa: B023
        killed += children(process)
        os.kill(killed[-1], signal.SIGKILL)
        until(lambda: not runs(killed[-1]))  # noqa: B023
    assert process.wait(TIME_LIMIT_S) == 0
    said = (millrace.folder / "stderr").read_text()
    assert "millrace launch: process 0 of 1 was killed by SIGKILL (out of memory, or from outside); starting all " \
           "processes again from the newest checkpoint (1 of 2)\n" in said
    assert "(2 of 2)\n" in said
    same_runs(straight, run)


def test_restarts_used_up_are_a_failure(millrace, start, recipe, dataset):
    process = start("-n", 1, "--restarts", 1, "--", *TRAIN, "--data", dataset)
    killed = []
    for _ in range(2):
        until(lambda: [pid for pid in children(process) if pid not in killed], process)
        killed += [pid for pid in children(process) if pid not in killed]
        os.kill(killed[-1], signal.SIGKILL)
    assert process.wait(TIME_LIMIT_S) == 1
    assert (millrace.folder / "stderr").read_text().rstrip().splitlines()[-1].startswith(
        "millrace: process 0 of 1 was killed by SIGKILL")
