"""Runs that report to a real MLflow server: everything arrives, once, whatever happens to server and run."""

import base64
import http.server
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support import (
    FINISHED,
    GO_ON,
    LOSS,
    RUNNING,
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


class MlflowReporter(Reporter):
    """To an experiment of its own."""

    def __init__(self, build, folder, uri, experiment):
        self.build = build
        super().__init__(build, folder, MLFLOW_TRACKING_URI=uri, MLFLOW_EXPERIMENT_NAME=experiment)
        self.experiment = experiment


@pytest.fixture
def reporter(build, tmp_path, mlflow, request):
    return MlflowReporter(build, tmp_path / "run", mlflow.uri, request.node.name)


@pytest.fixture(scope="module", autouse=True)
def run_without_a_server(build, dataset, tmp_path_factory):
    """Begun before the other tests, which need not wait with it: at its end it has 30 s of patience."""
    folder = tmp_path_factory.mktemp("without")
    make_training(folder, dataset)
    with socket.socket() as taken:  # so that nobody listens there
        taken.bind(("127.0.0.1", 0))
        program = Program(build, folder, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{taken.getsockname()[1]}",
                          MLFLOW_EXPERIMENT_NAME="without")
        process = subprocess.Popen(
            [program.path, "train", "recipe.toml", "--data", "data", "--out", "run", "--set", "tracking.system=mlflow"],
            cwd=folder, env=program.environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        yield program, process
        process.kill()
        process.wait()


def tags_of(run):
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


def test_everything_arrives_as_it_was_told(reporter, mlflow, tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 5000)
    many = {f"setting.{i}": i / 7 for i in range(250)}
    pixels = list(range(12))
    reporter(
        {"parameters": {"optimizer.lr": 0.1, "model.name": "résnet, 18", "deterministic": True, "odd,key": "", **many}},
        train(10), train(20, "nan"), train(30, "inf"), train(40, "-inf"),
        {"scalars": {"group": "val", "step": 40, "epoch": 2, "values": {"top1": 0.1 + 0.2, "top5": 1e-300}}},
        {"picture": {"name": "validation: predictions_with_gt", "step": 40, "width": 2, "height": 2, "pixels": pixels}},
        {"note": {"name": "about", "step": 1, "markdown": "*ten* classes"}},
        {"artifact": {"name": "a folder/the+file é.bin", "path": str(tmp_path / "file")}},
        *[train(step) for step in range(1000, 4000)], train(2**40), FINISHED)
    run = mlflow.run(reporter.experiment)
    assert (run["info"]["status"], run["info"]["run_name"]) == ("FINISHED", "judged")
    assert run["info"]["start_time"] <= run["info"]["end_time"] <= 1000 * time.time()
    parameters = {parameter["key"]: parameter["value"] for parameter in run["data"]["params"]}
    assert {key: float(parameters.pop(key)) for key in many} == many
    assert parameters == {"optimizer.lr": "0.1", "model.name": "résnet, 18", "deterministic": "true", "odd_key": ""}
    losses = mlflow.history(run, LOSS)
    assert math.isnan(float(losses[1][1]))
    largest = 1.7976931348623157e308  # what the server's store makes of infinities
    assert [losses[0], *losses[2:4]] == [(10, 0.1), (30, largest), (40, -largest)]
    assert sorted(losses[4:]) == [*[(step, 1 / step) for step in range(1000, 4000)], (2**40, 1 / 2**40)]
    assert mlflow.history(run, "validation/Accuracy") == [(2, 0.1 + 0.2)]
    assert mlflow.history(run, "validation/Top-5 Accuracy") == [(2, 1e-300)]
    tags = tags_of(run)
    assert (tags["about"], tags["mlflow.loggedImages"]) == ("*ten* classes", "true")
    assert mlflow.artifact(run, "a folder/the+file é.bin") == (tmp_path / "file").read_bytes()
    shown, whole = mlflow.artifacts(run, "images")
    assert shown.startswith("images/validation: predictions_with_gt+step+40+timestamp+")
    assert shown.removesuffix("+compressed.png") == whole.removesuffix(".png")
    assert mlflow.artifact(run, shown) == mlflow.artifact(run, whole)
    assert mlflow.artifact(run, whole).startswith(b"\x89PNG")
    [data] = run["inputs"]["dataset_inputs"]
    assert (data["dataset"]["name"], data["dataset"]["digest"]) == ("set", "00ff")


def test_run_that_is_killed_and_goes_on_is_one_run_without_gaps(reporter, mlflow):
    assert reporter({"parameters": {"lr": 0.1}}, *[train(step) for step in range(1, 51)], {"kill": {}}) == -signal.SIGKILL
    # From a checkpoint at step 30, with another setting.
    assert reporter(*[train(step) for step in range(31, 51)], {"status": {"state": 2, "step": 50}}, step=30) == 0
    assert mlflow.run(reporter.experiment)["info"]["status"] == "KILLED"
    assert reporter({"parameters": {"lr": 0.2}}, *[train(step) for step in range(31, 61)], {"kill": {}}, step=30) != 0
    assert reporter(RUNNING, *[train(step) for step in range(61, 81)], step=60) == 0
    assert mlflow.run(reporter.experiment)["info"]["status"] == "RUNNING"
    assert reporter(FINISHED, step=80) == 0
    # What is delivered later does not begin it again.
    assert reporter({"note": {"name": "late", "step": 1, "markdown": "*late*"}}, step=80) == 0
    run = mlflow.run(reporter.experiment)
    assert mlflow.history(run, LOSS) == [(step, 1 / step) for step in range(1, 81)]
    assert run["info"]["status"] == "FINISHED"
    assert [(p["key"], p["value"]) for p in run["data"]["params"]] == [("lr", "0.1")]
    assert tags_of(run)["changed.lr"] == "0.2"


def test_server_that_is_killed_and_comes_back_has_everything_once(reporter, mlflow):
    process = reporter.start()
    tell(process, *range(1, 101))
    wait_until(lambda: mlflow.has_some_of(reporter.experiment))
    mlflow.kill()
    for begin in range(101, 401, 100):
        tell(process, *range(begin, begin + 100))
        time.sleep(1)
    mlflow.start()
    tell(process, *range(401, 501))
    process.communicate((json.dumps(FINISHED) + "\n").encode(), timeout=120)
    assert process.returncode == 0
    run = mlflow.run(reporter.experiment)
    assert mlflow.history(run, LOSS) == [(step, 1 / step) for step in range(1, 501)]
    assert run["info"]["status"] == "FINISHED"


def test_interrupted_creation_of_a_run_is_taken_up(reporter, mlflow):
    reporter(train(1))
    state = reporter.folder / "tracking/mlflow/run.json"
    content = json.loads(state.read_text())
    # As if it had been killed before it wrote down what the server answered.
    state.write_text(json.dumps({**content, "id": ""}))
    reporter(train(2), FINISHED, step=1)
    assert mlflow.history(mlflow.run(reporter.experiment), LOSS) == [(1, 1), (2, 0.5)]
    assert json.loads(state.read_text()) == content


@pytest.fixture
def program(build, dataset, tmp_path, mlflow, request):
    program = Program(build, tmp_path, MLFLOW_TRACKING_URI=mlflow.uri, MLFLOW_EXPERIMENT_NAME=request.node.name)
    make_training(tmp_path, dataset)
    return program


def check_training(mlflow, experiment, folder):
    run = mlflow.run(experiment)
    wanted = expected(folder)
    assert {metric["key"] for metric in run["data"]["metrics"]} == set(wanted)
    for key, points in wanted.items():
        assert mlflow.history(run, key) == points
    assert run["info"]["status"] == "FINISHED"
    [checkpoint] = (folder / "checkpoints").glob("step-*")
    for name in ["config.toml", "environment.json", f"checkpoints/{checkpoint.name}"]:
        assert mlflow.artifact(run, name) == (folder / name).read_bytes()
    shown = [name.removeprefix("images/validation: ").split("+timestamp+")[0]
             for name in mlflow.artifacts(run, "images") if name.endswith("+compressed.png")]
    assert sorted(shown) == sorted(f"{kind}+step+{step}" for kind in ["hardest", "most_confused", "predictions_with_gt"]
                                   for step in evaluated_steps(folder))
    parameters = {parameter["key"]: parameter["value"] for parameter in run["data"]["params"]}
    assert (parameters["optimizer.lr"], parameters["model.name"]) == ("0.003", "resnet18")


def test_training_run_arrives_whole(program, mlflow, request):
    done = program.done("train", "recipe.toml", "--data", "data", "--out", "run")
    assert "reporting to MLflow: MLFLOW_TRACKING_URI is set" in done.stderr
    check_training(mlflow, request.node.name, program.folder / "run")


@GO_ON
def test_checkpoint_goes_on_with_its_run(program, mlflow, request, where):
    points, said = go_back_and_on(program, where)
    run = mlflow.run(request.node.name)
    assert "going on with the checkpoint's run of MLflow" in said  # by its key where it was not made yet
    assert {key: mlflow.history(run, key) for key in points} == points
    assert run["info"]["status"] == "FINISHED"
    shown = [name.split("+timestamp+")[0] for name in mlflow.artifacts(run, "images") if name.endswith("+compressed.png")]
    assert len(shown) == len(set(shown)) == 9


def test_checkpoint_under_another_name_is_a_new_run(program, mlflow, request):
    program.done("train", "recipe.toml", "--data", "data", "--out", "run")
    [checkpoint] = (program.folder / "run/checkpoints").glob("step-*")
    done = program.done("train", "recipe.toml", "--data", "data", "--out", "other", "--resume", checkpoint, "--set", "name=other",
                        "--set", "train.epochs=3")
    assert "a new run of MLflow: the checkpoint's is called recipe and is at" in done.stderr
    runs = {run["info"]["run_name"]: run for run in mlflow.runs(request.node.name)}
    assert {name: [step for step, _ in mlflow.history(run, LOSS)] for name, run in runs.items()} == {
        "recipe": [*range(1, 15)], "other": [*range(15, 22)]}


def test_run_that_the_environment_names_gets_what_is_new_of_a_fresh_folder_alone(reporter, mlflow, tmp_path):
    """Which run a folder reports to stays as it is; a fresh one reports to the run that is named."""
    assert reporter(*map(train, range(1, 11)), FINISHED) == 0
    run_id = mlflow.run(reporter.experiment)["info"]["run_id"]
    second = MlflowReporter(reporter.build, tmp_path / "second", mlflow.uri, reporter.experiment)
    second.environment["MLFLOW_RUN_ID"] = run_id
    assert second(*map(train, range(6, 16)), FINISHED, step=5) == 0
    run = mlflow.run(reporter.experiment)
    assert mlflow.history(run, LOSS) == [(step, 1 / step) for step in range(1, 16)]
    program = Program(reporter.build, tmp_path, **{**reporter.environment, "MLFLOW_RUN_ID": "0" * 32})
    said = program.done("sync", "run").stderr
    assert said == (f"MLFLOW_RUN_ID names {'0' * 32}, but the run goes on as {run_id}, as it began; to report to another one, "
                    "remove run/tracking/mlflow first\n")


def test_project_file_runs_the_program_within_the_run_that_mlflow_made(build, program, mlflow, request, tmp_path):
    assert build == ROOT / "build/release", "MLproject names the program of ./check build"
    subprocess.run(
        [sys.executable, "-m", "mlflow", "run", ROOT / "experiments/mlflow", "--env-manager", "local", "--experiment-name",
         request.node.name, "-P", f"config={tmp_path}/recipe.toml", "-P", f"data={tmp_path}/data", "-P",
         f"out={tmp_path}/run"], env={**program.environment, "MLFLOW_DISABLE_TELEMETRY": "true"}, check=True, timeout=300)
    run = mlflow.run(request.node.name)
    for key, points in expected(program.folder / "run").items():
        assert mlflow.history(run, key) == points
    assert run["info"]["status"] == "FINISHED"


def test_run_without_its_server_ends_well_and_is_delivered_later(run_without_a_server, mlflow):
    program, process = run_without_a_server
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "reporting to MLflow: tracking.system names it" in said
    assert said.count("cannot be reached") == 1
    assert "deliver them with: millrace sync run" in said
    program.environment["MLFLOW_TRACKING_URI"] = mlflow.uri
    assert "everything that run told is delivered" in program.done("sync", "run").stdout
    check_training(mlflow, "without", program.folder / "run")
    # Once more changes nothing.
    program.done("sync", "run")
    check_training(mlflow, "without", program.folder / "run")


def test_command_lines_that_cannot_be_meant_are_refused(build, tmp_path, program):
    plain = Program(build, program.folder)
    result = plain("train", "recipe.toml", "--data", "data", "--out", "run", "--set", "tracking.system=mlflow")
    assert (result.returncode, result.stderr) == (
        2, 'millrace: tracking.system is "mlflow": set MLFLOW_TRACKING_URI to the address of its server\n')
    assert not (program.folder / "run").exists()
    assert "was never told to report to a remote tracker" in plain("sync", "data").stderr
    assert "nowhere is not a run's folder" in plain("sync", "nowhere").stderr
    for uri, problem in {"file:///tmp/mlruns": "it must be the http:// or https:// address",
                         "http://me:secret@host": "MLFLOW_TRACKING_USERNAME"}.items():
        other = Program(build, program.folder, MLFLOW_TRACKING_URI=uri)
        result = other("train", "recipe.toml", "--data", "data", "--out", "other")
        assert result.returncode == 2
        assert problem in result.stderr
        assert "secret" not in result.stderr


@pytest.mark.parametrize("credentials, header", [
    ({"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "se:cret", "MLFLOW_TRACKING_TOKEN": "no"},
     "Basic " + base64.b64encode(b"me:se:cret").decode()),
    ({"MLFLOW_TRACKING_TOKEN": "tok"}, "Bearer tok")])
def test_server_that_talks_nonsense_fails_no_run_and_learns_only_the_credentials(build, tmp_path, credentials, header):
    headers = []

    class Nonsense(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            headers.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reporter = MlflowReporter(build, tmp_path / "run", f"http://127.0.0.1:{server.server_port}", "any")
        reporter.environment.update(credentials)
        process = reporter.start(1)
        process.stdin.write((json.dumps(train(1)) + "\n").encode())
        process.stdin.flush()
        wait_until(lambda: headers)
        process.communicate((json.dumps(FINISHED) + "\n").encode(), timeout=60)
        assert process.returncode == 0
        server.shutdown()
    assert headers and set(headers) == {header}
    kept = b"".join(path.read_bytes() for path in reporter.folder.rglob("*") if path.is_file())
    for secret in (b"cret", b"tok\""):
        assert secret not in kept
