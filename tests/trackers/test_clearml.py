"""Runs that report to ClearML: every request is checked against the schemas of the official SDK and the real server's rules
by a stand-in (clearml_server.py), against which the SDK itself runs, too; the SDK imports our offline sessions."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from clearml_server import KEY, SECRET, ClearmlServer
from support import (
    FINISHED,
    GO_ON,
    LOSS,
    Program,
    Reporter,
    evaluated_steps,
    expected,
    go_back_and_on,
    make_training,
    tell,
    train,
    wait_until,
)

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED = {"status": {"state": 2, "step": 7}}
PICTURE = {"picture": {"name": "validation/predictions", "step": 40, "width": 2, "height": 2, "pixels": list(range(12))}}


@pytest.fixture(autouse=True)
def no_other_tracker(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "CLEARML_", "TRAINS_"))]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture
def clearml(tmp_path):
    server = ClearmlServer(tmp_path / "files")
    server.start()
    yield server
    server.stop()
    assert server.errors == []
    assert server.refused == []


@pytest.fixture
def reporter(build, tmp_path, clearml):
    return Reporter(build, tmp_path / "run", **clearml.environment)


def run_sdk(tmp_path, program, **environment):
    """A Python program that uses the official SDK."""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, text=True, capture_output=True, timeout=120, check=False,
                          env={**os.environ, "CLEARML_CACHE_DIR": str(tmp_path / "cache"), **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def everything(tmp_path):
    """One of each event, and many points."""
    (tmp_path / "file").write_bytes(bytes(range(256)) * 5000)
    return [
        {"parameters": {"optimizer.lr": 0.1, "model.name": "résnet, 18", "deterministic": True, "odd,key": "",
                        "data.train.ops": '[{"op":"a","size":[1,2]}]'}},
        train(10), train(20, "nan"), train(30, "inf"), train(40, "nan"),
        {"scalars": {"group": "val", "step": 40, "epoch": 2, "values": {"top1": 0.1 + 0.2, "top5": 1e-300, "loss": 1e39}}},
        PICTURE,
        {"note": {"name": "about/this set", "step": 1, "markdown": "*ten* classes"}},
        {"histogram": {"name": "weights/fc", "step": 3, "min": -1, "max": 2, "sum": 3, "sum_of_squares": 4,
                       "limits": [0, 1, 5], "counts": [1, 2, 3]}},
        {"pr_curve": {"name": "validation/pr dog", "step": 3, "tp": [4, 3, 0], "fp": [2, 1, 0], "tn": [0, 1, 2],
                      "fn": [0, 1, 4]}},
        {"artifact": {"name": "a folder/the+file é.bin", "path": str(tmp_path / "file")}},
        *[train(step) for step in range(1000, 4000)], train(2**40), FINISHED]


def check_everything(clearml, task, tmp_path):
    assert task["status"] == "completed"
    assert clearml.parameters(task) == {"optimizer.lr": "0.1", "model.name": "résnet, 18", "deterministic": "true",
                                        "odd,key": "", "data.train.ops": '[{"op":"a","size":[1,2]}]'}
    assert clearml.parameters(task, "Dataset") == {"path": "/data/set", "fingerprint": "00ff"}
    scalars = clearml.scalars(task)
    assert scalars[LOSS] == [(10, 0.1), *[(step, 1 / step) for step in range(1000, 4000)], (2**40, 1 / 2**40)]
    assert scalars["validation/Accuracy"] == [(2, 0.1 + 0.2)]
    assert scalars["validation/Top-5 Accuracy"] == [(2, 1e-300)]
    assert [line for line in clearml.lines(task) if "no such number" in line] == [
        f"{LOSS} is nan at 20: ClearML has no such number, it is left out, as are later ones",
        "validation/loss is 1e+39 at 2: ClearML has no such number, it is left out, as are later ones"]
    samples = {(event["metric"], event["variant"], event["iter"]): event for event in clearml.of_kind(task, "training_debug_image")}
    assert samples.keys() == {("validation", "predictions", 40), ("about", "this set", 1)}
    assert clearml.bytes_at(samples["validation", "predictions", 40]["url"]).startswith(b"\x89PNG")
    assert clearml.bytes_at(samples["about", "this set", 1]["url"]) == b"*ten* classes"
    for event in samples.values():
        assert event["url"] == f"{clearml.uri}/{event['key']}" and task["id"] in event["key"]
    plots = {event["metric"]: json.loads(event["plot_str"])["data"][0] for event in clearml.of_kind(task, "plot")}
    assert (plots["weights"]["x"], plots["weights"]["y"]) == ([-0.5, 0.5, 1.5], [1, 2, 3])
    assert (plots["validation"]["x"], plots["validation"]["y"]) == ([0, 0.75, 1], [1, 0.75, 4 / 6])
    [artifact] = task["execution"]["artifacts"]
    content = (tmp_path / "file").read_bytes()
    assert artifact["key"] == "a folder/the+file é.bin"
    assert (artifact["content_size"], artifact["hash"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert clearml.bytes_at(artifact["uri"]) == content


def test_everything_arrives_as_it_was_told(reporter, clearml, tmp_path):
    assert reporter(*everything(tmp_path)) == 0
    task = clearml.only_task("millrace")
    check_everything(clearml, task, tmp_path)
    assert (task["name"], task["type"], task["tags"]) == ("judged", "training", ["millrace"])
    called = [name for name, _ in clearml.calls]
    assert called.count("tasks.create") == called.count("tasks.started") == called.count("tasks.completed") == 1
    assert called.index("tasks.started") < called.index("events.add_batch")


def test_sdk_says_the_same_to_the_same_server(clearml, tmp_path):
    clearml.strict = False  # it sends fields that its own schemas do not name
    run_sdk(tmp_path, """
from clearml import Task
task = Task.create("by the SDK", "task of the SDK")
task.mark_started()
task.set_parameters({"General/optimizer.lr": 0.1})
for step in range(5):
    task.get_logger().report_scalar("training", "supervised batch loss", 1 / (step + 1), step)
open("file.bin", "wb").write(b"content")
task.upload_artifact("ckpt", "file.bin", wait_on_upload=True)
task.close()
task.mark_completed()
""", **clearml.environment)
    task = clearml.only_task("by the SDK")
    assert task["status"] == "completed"
    assert clearml.scalars(task)[LOSS] == [(step, 1 / (step + 1)) for step in range(5)]
    assert clearml.parameters(task)["optimizer.lr"] == "0.1"
    [artifact] = task["execution"]["artifacts"]
    assert artifact["hash"] == hashlib.sha256(b"content").hexdigest()
    assert clearml.bytes_at(artifact["uri"]) == b"content"


def test_sdk_reads_what_we_told(reporter, clearml, tmp_path):
    reporter(*everything(tmp_path))
    clearml.strict = False
    said = run_sdk(tmp_path, f"""
import json
from clearml import Task
task = Task.get_task("{clearml.only_task()['id']}")
print("@" + json.dumps([task.name, task.get_status(), task.get_project_name(), task.get_parameters(),
                        task.artifacts["a folder/the+file é.bin"].get_local_copy(), task.get_script()["entry_point"]]))
""", **clearml.environment)
    name, status, project, parameters, copy, script = json.loads(said.split("@")[1])
    assert (name, status, project, script) == ("judged", "completed", "millrace", "millrace.sh")
    assert (parameters["General/optimizer.lr"], parameters["General/deterministic"]) == ("0.1", "true")
    assert Path(copy).read_bytes() == (tmp_path / "file").read_bytes()


def test_run_that_is_killed_and_goes_on_is_one_task_without_gaps(reporter, clearml):
    assert reporter({"parameters": {"lr": 0.1}}, *[train(step) for step in range(1, 51)], {"kill": {}}) == -signal.SIGKILL
    # From a checkpoint at step 30, with another setting.
    assert reporter({"parameters": {"lr": 0.2}}, *[train(step) for step in range(31, 61)], {"kill": {}}, step=30) != 0
    assert reporter(*[train(step) for step in range(61, 81)], INTERRUPTED, step=60) == 0
    assert clearml.only_task()["status"] == "stopped"
    assert clearml.only_task()["status_message"] == "interrupted at step 7; it can go on from there"
    assert reporter(train(81), {"status": {"state": 3, "step": 81, "reason": "disk full"}}, step=80) == 0
    task = clearml.only_task()
    assert clearml.scalars(task)[LOSS] == [(step, 1 / step) for step in range(1, 82)]
    assert (task["status"], task["status_message"]) == ("failed", "disk full")
    assert clearml.parameters(task)["lr"] == "0.2"


def test_server_that_is_away_and_comes_back_has_everything_once(reporter, clearml):
    process = reporter.start()
    tell(process, *range(1, 101))
    wait_until(lambda: any(clearml.events.values()))
    clearml.stop()
    tell(process, *range(101, 301))
    time.sleep(2)
    clearml.start()
    # A server that has forgotten who is logged in, is in trouble, and behind a proxy that is.
    clearml.tokens.clear()
    answers = [(503, b"busy"), (502, b"<html>"), (200, b"<html>welcome</html>")]
    clearml.fault = lambda path: answers.pop(0) if answers else None
    tell(process, *range(301, 501))
    process.communicate((json.dumps(FINISHED) + "\n").encode(), timeout=120)
    assert process.returncode == 0
    assert not answers
    assert {message for _, message in clearml.refused} == {"Unauthorized (invalid token)"}
    clearml.refused.clear()
    task = clearml.only_task()
    assert clearml.scalars(task)[LOSS] == [(step, 1 / step) for step in range(1, 501)]
    assert task["status"] == "completed"


def test_task_that_took_nothing_for_a_moment_has_everything(reporter, clearml):
    """The task is published when events come, and is not when the run looks for the cause."""
    moments = {"events.add_batch": "published", "tasks.get_by_id": "in_progress"}

    def change(path):
        name = path.rpartition("/")[2]
        if name in moments and any(clearml.events.values()):
            clearml.only_task()["status"] = moments.pop(name)

    clearml.fault = change

    def points():
        return [point for task in clearml.tasks.values() for point in clearml.scalars(task).get(LOSS, [])]

    process = reporter.start()
    tell(process, 1)
    wait_until(lambda: len(points()) == 1)
    tell(process, 2)
    wait_until(lambda: len(points()) == 2)
    process.communicate((json.dumps(FINISHED) + "\n").encode(), timeout=60)
    assert not moments
    assert [name for name, _ in clearml.refused] == ["events.add_batch"]
    clearml.refused.clear()


def test_task_that_takes_nothing_for_a_while_has_everything_in_the_end(reporter, clearml):
    process = reporter.start()

    def tell_until(step, condition):
        tell(process, step)
        wait_until(condition)

    tell_until(1, lambda: any(clearml.events.values()))
    task = clearml.only_task()
    task["status"] = "published"
    tell_until(2, lambda: clearml.refused)
    task["status"] = "in_progress"
    tell_until(3, lambda: len(clearml.scalars(task).get(LOSS, [])) == 3)
    clearml.refused.clear()
    del clearml.tasks[task["id"]]
    tell_until(4, lambda: clearml.refused)
    clearml.tasks[task["id"]] = task
    process.communicate((json.dumps(FINISHED) + "\n").encode(), timeout=60)
    assert clearml.scalars(task)[LOSS] == [(step, 1 / step) for step in range(1, 5)]
    assert task["status"] == "completed"
    clearml.refused.clear()


def test_task_with_nothing_to_tell_is_kept_alive_while_it_is_under_way(reporter, clearml):
    pings = lambda: [request for name, request in clearml.calls if name == "tasks.ping"]  # noqa: E731
    process = reporter.start(60000, 20)
    time.sleep(0.3)
    assert not pings(), "there is no task yet"
    tell(process, 1)
    wait_until(lambda: len(pings()) > 3)
    # What the server says to it is of no consequence.
    clearml.fault = lambda path: (500, b"") if path.endswith("tasks.ping") else None
    time.sleep(0.1)
    clearml.fault = None
    heard = len(pings())
    wait_until(lambda: len(pings()) > heard)
    task = clearml.only_task()
    assert pings()[0] == {"task": task["id"]}
    tell(process, 2)
    process.communicate((json.dumps(FINISHED) + "\n").encode(), timeout=60)
    assert clearml.scalars(task)[LOSS] == [(1, 1), (2, 0.5)]
    assert task["status"] == "completed"


def test_lines_of_which_it_is_not_known_whether_they_arrived_are_there_once(reporter, clearml):
    original, lost = clearml.events_add_batch, []

    def add_and_lose_the_answer(request):
        answer = original(request)
        if not lost:
            lost.append(request)
            raise ConnectionAbortedError
        return answer

    clearml.events_add_batch = add_and_lose_the_answer
    process = reporter.start()
    process.stdin.write((json.dumps(train(1, "nan")) + "\n" + json.dumps(train(2)) + "\n").encode())
    process.stdin.flush()
    process.communicate((json.dumps(FINISHED) + "\n").encode(), timeout=60)
    task = clearml.only_task()
    assert lost
    assert [line.split(" ")[-1] for line in clearml.lines(task)].count("ones") == 1
    assert clearml.scalars(task)[LOSS] == [(2, 0.5)]


def test_interrupted_creation_of_a_task_is_taken_up(reporter, clearml):
    reporter(train(1))
    state = reporter.folder / "tracking/clearml/run.json"
    content = json.loads(state.read_text())
    # As if it had been killed before it wrote down what the server answered.
    state.write_text(json.dumps({**content, "id": ""}))
    reporter(train(2), FINISHED, step=1)
    assert clearml.scalars(clearml.only_task())[LOSS] == [(1, 1), (2, 0.5)]
    assert json.loads(state.read_text()) == content


def test_project_with_an_odd_name_is_found_again(build, clearml, tmp_path):
    for number in range(2):
        reporter = Reporter(build, tmp_path / f"run{number}", CLEARML_PROJECT="a+b (c)/sub é", **clearml.environment)
        assert reporter(PICTURE, FINISHED) == 0
    assert list(clearml.projects.values()) == ["a+b (c)/sub é"]
    for task in clearml.tasks.values():
        [sample] = clearml.of_kind(task, "training_debug_image")
        assert clearml.bytes_at(sample["url"]).startswith(b"\x89PNG")


def secrets_below(folder, *secrets):
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return [secret for secret in secrets if secret.encode() in kept]


CONFIGURATION = f"""
# ClearML SDK configuration file
api {{
    # a comment, with {{ braces
    web_server: http://nowhere
    api_server: %s  // the api
    files_server: "%s"
    credentials {{"access_key" = "{KEY}", "secret_key" = "{SECRET}"}}
}}
sdk {{ storage {{ cache {{ default_base_dir: "~/.clearml/cache" }} direct_access: [ {{ url: "file://*" }} ] }} }}
"""


@pytest.mark.parametrize("where", ["home", "named", "json", "token"])
def test_server_and_credentials_are_found_as_the_sdk_finds_them(build, clearml, tmp_path, where):
    clearml.tokens.add("tok")
    environment = {}
    content = CONFIGURATION % (clearml.uri + "/", clearml.uri)
    if where == "home":
        (tmp_path / "home/clearml.conf").write_text(content)
    elif where == "named":
        (tmp_path / "elsewhere.cfg").write_text(content)
        environment = {"CLEARML_CONFIG_FILE": str(tmp_path / "elsewhere.cfg")}
    elif where == "json":  # as an agent leaves it
        (tmp_path / "agent.cfg").write_text(json.dumps({"agent": {"x": [{"y": 1}]}, "api": {
            "api_server": clearml.uri, "files_server": clearml.uri,
            "credentials": {"access_key": KEY, "secret_key": SECRET}}}, indent=4))
        environment = {"CLEARML_CONFIG_FILE": str(tmp_path / "agent.cfg")}
    else:
        environment = {"CLEARML_API_HOST": clearml.uri, "CLEARML_FILES_HOST": clearml.uri, "CLEARML_AUTH_TOKEN": "tok"}
    reporter = Reporter(build, tmp_path / "run", **environment)
    assert reporter(train(1), FINISHED) == 0
    assert clearml.scalars(clearml.only_task())[LOSS] == [(1, 1)]
    assert secrets_below(reporter.folder, SECRET, "tok\"", *clearml.tokens - {"tok"}) == []


# ---- offline ----


def session_of(folder):
    [session] = (folder / "tracking/clearml").glob("offline-*")
    return session


def test_sdk_imports_the_offline_session(build, clearml, tmp_path):
    reporter = Reporter(build, tmp_path / "run", CLEARML_OFFLINE_MODE="1", CLEARML_PROJECT="imagenet")
    events = everything(tmp_path)
    # Killed in the middle, with a torn line left behind.
    assert reporter(*events[:2], {"kill": {}}) != 0
    assert reporter(*events) == 0
    session = session_of(reporter.folder)
    with zipfile.ZipFile(tmp_path / "session.zip", "w") as archive:
        for file in session.rglob("*"):
            archive.write(file, file.relative_to(session))
    clearml.strict = False
    run_sdk(tmp_path, f"""
from clearml import Task
assert Task.import_offline_session("{session}") and Task.import_offline_session("session.zip")
""", **clearml.environment)
    assert len(clearml.tasks) == 2
    for task in clearml.tasks.values():
        check_everything(clearml, task, tmp_path)
        assert clearml.projects[task["project"]] == "imagenet"
        assert task["script"]["binary"] == "/bin/bash"
        assert task["configuration"]["recipe"]["type"] == "json"


def test_offline_session_that_is_killed_and_goes_on_has_everything_once(build, tmp_path):
    reporter = Reporter(build, tmp_path / "run", CLEARML_OFFLINE_MODE="1")
    reporter(*[train(step) for step in range(1, 51)], train(51, "nan"), {"kill": {}})
    # A kill comes before or after the first delivery.
    for path in (reporter.folder / "tracking/clearml").glob("offline-*/*.jsonl"):
        with path.open("ab") as file:
            file.write(b'[{"type": "torn')
    reporter(*[train(step) for step in range(31, 81)], FINISHED, step=30)
    session = session_of(reporter.folder)
    # As if the last process had been killed before it noted down what it had written.
    acknowledged = reporter.folder / "tracking/clearml/journal/acknowledged"
    before = [(session / name).read_bytes() for name in ("metrics.jsonl", "log.jsonl")]
    acknowledged.unlink()
    reporter(step=80)
    assert [(session / name).read_bytes() for name in ("metrics.jsonl", "log.jsonl")] == before
    points = [(event["iter"], event["value"]) for line in (session / "metrics.jsonl").read_text().splitlines()
              for event in json.loads(line)]
    assert points == [(step, 1 / step) for step in [*range(1, 51), *range(52, 81)]]


# ---- the program ----


@pytest.fixture
def program(build, dataset, tmp_path, clearml):
    program = Program(build, tmp_path, **clearml.environment)
    make_training(tmp_path, dataset)
    return program


def check_training(clearml, task, folder):
    scalars = clearml.scalars(task)
    wanted = expected(folder)
    assert scalars == wanted
    assert task["status"] == "completed"
    [checkpoint] = (folder / "checkpoints").glob("step-*")
    artifacts = {artifact["key"]: artifact for artifact in task["execution"]["artifacts"]}
    for name in ["config.toml", "environment.json", f"checkpoints/{checkpoint.name}"]:
        content = (folder / name).read_bytes()
        assert clearml.bytes_at(artifacts[name]["uri"]) == content
        assert artifacts[name]["hash"] == hashlib.sha256(content).hexdigest()
    samples = clearml.of_kind(task, "training_debug_image")
    assert sorted((event["metric"], event["iter"]) for event in samples) == [
        (f"validation: {kind}", step) for kind in ["hardest", "most_confused", "predictions_with_gt"]
        for step in evaluated_steps(folder)]
    assert all(clearml.bytes_at(event["url"]).startswith(b"\x89PNG") for event in samples)
    assert {event["metric"] for event in clearml.of_kind(task, "plot")} == {"weights", "grads", "pr_curve"}
    assert (clearml.parameters(task)["optimizer.lr"], clearml.parameters(task)["model.name"]) == ("0.003", "resnet18")


def test_training_run_arrives_whole(program, clearml):
    done = program.done("train", "recipe.toml", "--data", "data", "--out", "run")
    assert "reporting to ClearML: CLEARML_API_HOST is set" in done.stderr
    task = clearml.only_task()
    check_training(clearml, task, program.folder / "run")
    # The console is what log.txt has, up to what was said before and after.
    said = (program.folder / "run/log.txt").read_text()
    lines = clearml.lines(task)
    assert any(line.startswith("training resnet18 on data") for line in lines)
    assert all(line in said for line in lines)
    assert secrets_below(program.folder / "run", SECRET, *clearml.tokens) == []


@GO_ON
def test_checkpoint_goes_on_with_its_task(program, clearml, where):
    points, said = go_back_and_on(program, where)
    task = clearml.only_task()
    assert "going on with the checkpoint's run of ClearML" in said  # by its key where it was not made yet
    told = clearml.scalars(task)
    assert told.keys() == points.keys()
    for key, values in points.items():
        assert [x for x, _ in told[key]] == [x for x, _ in values]
    # The server takes a point that comes again for the same one.
    assert told[LOSS] == points[LOSS]
    assert task["status"] == "completed"


def as_an_agent(clearml, task, folder, **environment):
    """Runs the task's script as clearml-agent does."""
    script = task["script"]
    assert script["binary"] == "/bin/bash" and not script["repository"]
    (folder / script["entry_point"]).write_text(script["diff"])
    (folder / "agent.cfg").write_text(json.dumps({"api": {"api_server": clearml.uri, "files_server": clearml.uri,
                                                          "credentials": {"access_key": KEY, "secret_key": SECRET}}}))
    clearml.tasks_started({"task": task["id"]})
    return subprocess.run(["/bin/bash", script["entry_point"]], cwd=folder, text=True, capture_output=True, timeout=300, check=False,
                          env={**os.environ, "CLEARML_TASK_ID": task["id"], "CLEARML_CONFIG_FILE": str(folder / "agent.cfg"),
                               "CLEARML_LOG_TASK_TO_BACKEND": "0", **environment})


def changed(clearml, task, **settings):
    """A clone with settings changed in the pages."""
    clone = clearml.tasks[clearml.tasks_clone({"task": task["id"]})["id"]]
    for name, value in settings.items():
        clone["hyperparams"]["General"][name.replace("__", ".")]["value"] = value
    return clone


def test_clone_with_changed_settings_is_run_by_an_agent(program, clearml, tmp_path):
    program.done("train", "recipe.toml", "--data", "data", "--out", "runs/first", "--set", "optimizer.momentum=0.5")
    agent = tmp_path / "agent's"
    agent.mkdir()
    ops = '[{"op":"random_resized_crop","scale":[0.5,1],"size":32},{"op":"horizontal_flip"}]'
    first = changed(clearml, clearml.only_task(), optimizer__lr="0.25", data__train__ops=ops)
    done = as_an_agent(clearml, first, agent)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("changed in clearml's pages: ") == 2
    assert "changed in clearml's pages: optimizer.lr=0.25" in done.stderr
    run = tmp_path / f"runs/clearml-{first['id']}"
    assert "changed in clearml's pages: optimizer.lr=0.25" in (run / "log.txt").read_text()
    assert {value for _, value in clearml.scalars(first)["lr/group_0"]} == {0.25}
    assert clearml.scalars(first) == expected(run)
    assert clearml.parameters(first)["optimizer.momentum"] == "0.5"
    assert "horizontal_flip" in (run / "config.toml").read_text()
    assert clearml.lines(first) == []  # the agent sends them itself
    # A clone of the clone keeps what was changed, and more can be.
    second = changed(clearml, first, seed="7")
    done = as_an_agent(clearml, second, agent)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("changed in clearml's pages: ") == 3
    assert {value for _, value in clearml.scalars(second)["lr/group_0"]} == {0.25}
    assert clearml.parameters(second)["seed"] == "7"
    assert len(clearml.tasks) == 3
    # What cannot be meant ends it before it begins, and so does a task that is not there.
    third = changed(clearml, first, optimizer__lr="fast")
    done = as_an_agent(clearml, third, agent)
    assert (done.returncode, "optimizer.lr" in done.stderr) == (2, True)
    gone = as_an_agent(clearml, third, agent, CLEARML_TASK_ID="nothere")
    assert gone.returncode == 1
    assert "the settings of the task nothere (CLEARML_TASK_ID) cannot be had from ClearML" in gone.stderr
    assert clearml.refused.pop() == ("tasks.get_by_id", "Invalid task id: nothere")


def test_launch_file_runs_a_task_that_clearml_task_made(build, program, clearml, tmp_path):
    script = {"repository": "https://example.com/millrace.git", "binary": "/bin/bash",
              "entry_point": "experiments/clearml/train.sh", "working_dir": ".", "diff": ""}
    task = clearml.tasks[clearml.tasks_create({"name": "made by clearml-task", "type": "training", "script": script})["id"]]
    # Added in the pages: such a task has no settings yet.
    task["hyperparams"]["General"] = {"optimizer.lr": {"name": "optimizer.lr", "section": "General", "value": "0.125"}}
    clearml.tasks_started({"task": task["id"]})
    subprocess.run(["/bin/bash", ROOT / script["entry_point"]], check=True, timeout=300, env={
        **program.environment, "CLEARML_TASK_ID": task["id"], "MILLRACE_CONFIG": str(tmp_path / "recipe.toml"),
        "MILLRACE_DATA": str(tmp_path / "data"), "MILLRACE_RUNS": str(tmp_path / "runs"),
        "MILLRACE_PROGRAM": str(build / "millrace")})
    assert {value for _, value in clearml.scalars(task)["lr/group_0"]} == {0.125}
    assert clearml.scalars(task) == expected(tmp_path / f"runs/clearml-{task['id']}")
    assert task["status"] == "completed"


def test_what_waits_is_delivered_by_sync(build, reporter, clearml, tmp_path):
    clearml.stop()
    events = everything(tmp_path)
    assert reporter(*events, {"kill": {}}) == -signal.SIGKILL
    program = Program(build, tmp_path, **clearml.environment)
    clearml.start()
    assert "everything that run told is delivered" in program.done("sync", "run").stdout
    check_everything(clearml, clearml.only_task(), tmp_path)
    calls = len(clearml.calls)
    program.done("sync", "run")
    assert len(clearml.calls) == calls


@pytest.mark.parametrize("environment, problem", [
    ({}, "there are no credentials for ClearML at https://api.clear.ml: set CLEARML_API_ACCESS_KEY"),
    ({"CLEARML_API_HOST": "localhost:8008"}, 'is "localhost:8008"; it must be the http:// or https:// address'),
    ({"CLEARML_API_HOST": "http://me:secret@host"}, "holds a user or a password"),
    ({"CLEARML_API_HOST": "http://host:1234"}, "CLEARML_FILES_HOST is not set"),
    ({"CLEARML_API_HOST": "http://host:8008", "CLEARML_API_ACCESS_KEY": "k"}, "there are no credentials")])
def test_environment_that_cannot_be_meant_is_refused(build, dataset, tmp_path, environment, problem):
    make_training(tmp_path, dataset)
    program = Program(build, tmp_path, **environment)
    result = program("train", "recipe.toml", "--data", "data", "--out", "run", "--set", "tracking.system=clearml")
    assert result.returncode == 2, result.stderr
    assert problem in result.stderr
    assert "secret" not in result.stderr
    assert not (tmp_path / "run").exists()
