"""Runs that report to a real Polyaxon server: everything arrives, once, whatever happens to server and run; and runs that
Polyaxon starts or is given later, by its own code for them."""

import http.server
import json
import math
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from support import (
    FINISHED,
    GO_ON,
    LOSS,
    RUNNING,
    Program,
    Reporter,
    environment,
    evaluated_steps,
    expected,
    go_back_and_on,
    make_training,
    tell,
    train,
    wait_until,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what they import
    from polyaxon._polyaxonfile import OperationSpecification
    from polyaxon._polyaxonfile.specs import CompiledOperationSpecification
    from polyaxon._utils.fqn_utils import to_fqn_name
    from polyaxon.polyaxonfile import check_polyaxonfile
    from traceml.events import V1Events

ROOT = Path(__file__).resolve().parents[2]
# What Polyaxon's sidecar runs over the folder of a job; the client in it takes the server from the environment.
SIDECAR = """
import sys
from polyaxon.client import RunClient
RunClient(owner="default", project=sys.argv[1], run_uuid=sys.argv[2]).sync_events_summaries(None, sys.argv[3])
"""


@pytest.fixture
def reporter(build, tmp_path, polyaxon, request):
    reporter = Reporter(build, tmp_path / "run", POLYAXON_HOST=polyaxon.uri, POLYAXON_PROJECT=request.node.name)
    reporter.project = request.node.name
    return reporter


def run_folder(folder):
    [run] = (folder / "tracking/polyaxon/runs").iterdir()
    return run


def test_everything_arrives_as_it_was_told(reporter, polyaxon, tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 5000)
    pixels = list(range(12))
    odd = ["a//b\\c  d..e-f", " x+y: z ", "..", "tab\tand|bar", "-"]
    scores = {"top1": 0.1 + 0.2, "top5": 1e-300}
    reporter(
        RUNNING, {"parameters": {"optimizer.lr": 0.1, "model.name": "résnet, 18|", "deterministic": True, "odd,key": ""}},
        train(10), train(20, "nan"), train(30, "inf"), train(40, "-inf"),
        {"scalars": {"group": "val", "step": 40, "epoch": 2, "values": scores}},
        {"picture": {"name": "validation: predictions_with_gt", "step": 40, "width": 2, "height": 2, "pixels": pixels}},
        {"note": {"name": "about", "step": 1, "markdown": "*ten* | \"classes\"\n"}},
        {"histogram": {"name": "weights", "step": 3, "min": 0, "max": 2, "sum": 3, "sum_of_squares": 5, "limits": [1, 2],
                       "counts": [3, 4]}},
        {"pr_curve": {"name": "pr", "step": 3, "tp": [4, 2, 0], "fp": [4, 2, 0], "tn": [0, 2, 4], "fn": [0, 2, 4]}},
        {"artifact": {"name": "a folder/the+file é.bin", "path": str(tmp_path / "file")}},
        *[{"note": {"name": name, "step": 1, "markdown": name}} for name in odd],
        {"artifact": {"name": "gone", "path": str(tmp_path / "gone")}},
        *[train(step) for step in range(1000, 4000)], train(2**40), FINISHED)
    run = polyaxon.run(reporter.project)
    assert (run["name"], run["status"], run["is_managed"]) == ("judged", "succeeded", False)
    assert run["inputs"] == {"optimizer.lr": 0.1, "model.name": "résnet, 18|", "deterministic": True, "odd,key": ""}
    assert run["outputs"] == {to_fqn_name(LOSS): 1 / 2**40, "validation__Accuracy": 0.1 + 0.2,
                              "validation__Top-5-Accuracy": 1e-300}
    assert run["meta_info"] == {"has_metrics": True, "has_events": True}
    assert polyaxon.statuses(run) == [("running", "after 0 steps"), ("succeeded", "after 100 steps")]
    losses = polyaxon.events(run, "metric", to_fqn_name(LOSS))
    # JSON has no other numbers; the file has them.
    assert losses[:4] == [(10, 0.1), (20, None), (30, None), (40, None)]
    assert losses[4:] == [*[(step, 1 / step) for step in range(1000, 4000)], (2**40, 1 / 2**40)]
    text = polyaxon.artifact(run, f"events/metric/{to_fqn_name(LOSS)}.plx").decode()
    read = V1Events.read("metric", "loss", text).df
    assert list(read.metric[2:4]) == [math.inf, -math.inf] and math.isnan(read.metric[1])
    assert abs(read.timestamp[0].timestamp() - time.time()) < 60
    assert polyaxon.events(run, "metric", "validation__Accuracy") == [(2, 0.1 + 0.2)]
    assert polyaxon.events(run, "metric", "validation__Top-5-Accuracy") == [(2, 1e-300)]
    name = to_fqn_name("validation: predictions_with_gt")
    [(step, picture)] = polyaxon.events(run, "image", name)
    picture = json.loads(picture)
    assert (step, picture["width"], picture["height"]) == (40, 2, 2)
    assert polyaxon.artifact(run, picture["path"]).startswith(b"\x89PNG")
    assert polyaxon.events(run, "text", "about") == [(1, "*ten* | \"classes\"\n")]
    for name_of_text in {to_fqn_name(name) for name in odd} - {"-"}:
        [(_, name_told)] = polyaxon.events(run, "text", name_of_text)
        assert to_fqn_name(name_told) == name_of_text
    # As traceml's own histograms are: "values" are how many, "counts" the edges.
    [(step, histogram)] = polyaxon.events(run, "histogram", "weights")
    assert (step, json.loads(histogram)) == (3, {"values": [3, 4], "counts": [0, 1, 2]})
    [(step, curve)] = polyaxon.events(run, "curve", "pr")
    assert (step, json.loads(curve)) == (3, {"kind": "pr", "x": [1, 0.5, 0], "y": [0.5, 0.5, 1]})
    path = "outputs/a folder/the+file é.bin"
    assert polyaxon.artifact(run, path) == (tmp_path / "file").read_bytes()
    lineage = polyaxon.lineage(run)
    assert set(lineage) == {("metric", to_fqn_name(LOSS)), ("metric", "validation__Accuracy"),
                            ("metric", "validation__Top-5-Accuracy"), ("image", name), ("text", "about"),
                            ("histogram", "weights"), ("curve", "pr"), ("file", "a-folder__thefile-bin"), ("data", "set"),
                            *[("text", to_fqn_name(name)) for name in odd[:2]], ("text", to_fqn_name(odd[3])), ("text", "-")}
    assert lineage["file", "a-folder__thefile-bin"]["path"] == path
    data = lineage["data", "set"]
    assert (data["is_input"], data["path"], data["summary"]["hash"]) == (True, "/data/set", "00ff")
    summary = lineage["metric", to_fqn_name(LOSS)]["summary"]
    assert summary["step"] == {"count": 3005, "min": 10, "max": 2**40}
    assert summary["metric"] == {"count": 3005, "min": 1 / 2**40, "max": 0.1, "last": 1 / 2**40}
    # The run's own folder has the same files, and no second copy of the artifact.
    folder = run_folder(reporter.folder)
    assert (folder / f"events/metric/{to_fqn_name(LOSS)}.plx").read_text() == text
    assert not (folder / path).exists()
    # What is told at the very end comes with what is told next.
    assert reporter({"note": {"name": "end", "step": 1, "markdown": "end"}}, step=2**40) == 0
    [line] = polyaxon.logs(run)
    assert line.endswith(f"refuses something that the run tells ({tmp_path}/gone is not there any more): it is left out")


def check_is_one_run(reporter, polyaxon, steps):
    run = polyaxon.run(reporter.project)
    assert polyaxon.events(run, "metric", to_fqn_name(LOSS)) == [(step, 1 / step) for step in steps]
    assert run["status"] == "succeeded"
    return run


def test_run_that_is_killed_and_goes_on_is_one_run_without_gaps(reporter, polyaxon):
    first = [{"parameters": {"lr": 0.1, "old": 1}}, *[train(step) for step in range(1, 51)]]
    assert reporter(RUNNING, *first, {"kill": {}}) == -signal.SIGKILL
    # From a checkpoint at step 30, with another setting.
    again = [{"parameters": {"lr": 0.2}}, *[train(step) for step in range(31, 61)]]
    assert reporter(RUNNING, *again, {"status": {"state": 2, "step": 60}}, step=30) == 0
    assert polyaxon.run(reporter.project)["status"] == "stopped"
    assert reporter(RUNNING, *[train(step) for step in range(61, 81)], FINISHED, step=60) == 0
    run = check_is_one_run(reporter, polyaxon, range(1, 81))
    assert run["inputs"] == {"lr": 0.2, "old": 1}
    assert [status for status, _ in polyaxon.statuses(run)] == ["running", "stopped", "running", "succeeded"]


def test_histograms_are_gathered_until_the_end(reporter, polyaxon):
    def told(*steps):
        return [{"histogram": {"name": "weights", "step": step, "min": 0, "max": 2, "sum": 3, "sum_of_squares": 5,
                               "limits": [1, 2], "counts": [3, step]}} for step in steps]

    def there(kind="histogram", name="weights"):
        return [step for step, _ in polyaxon.events(polyaxon.run(reporter.project), kind, name)]

    process = reporter.start()
    process.stdin.write("".join(json.dumps(event) + "\n" for event in [RUNNING, *told(1, 2, 3, 4)]).encode())
    tell(process, 4)
    wait_until(lambda: polyaxon.has_some_of(reporter.project))
    assert there() == [1, 2, 3, 4]
    process.stdin.write((json.dumps(*told(5)) + "\n").encode())
    tell(process, 5)
    wait_until(lambda: there("metric", to_fqn_name(LOSS)) == [4, 5])
    assert there() == [1, 2, 3, 4]
    process.communicate((json.dumps(FINISHED) + "\n").encode(), timeout=120)
    assert there() == [1, 2, 3, 4, 5]


def test_kill_between_the_files_and_the_note_of_them_doubles_nothing(reporter, polyaxon):
    assert reporter(*[train(step) for step in range(1, 51)]) == 0
    folder = reporter.folder / "tracking/polyaxon"
    noted = reporter.folder.with_name("noted")
    shutil.copytree(folder, noted)
    assert reporter(*[train(step) for step in range(51, 61)], step=50) == 0
    # As if it had been killed there: the files are further than what is noted, and end with half a row.
    for name in ["files.json", "journal"]:
        shutil.rmtree(folder / name, ignore_errors=True)
        subprocess.run(["cp", "-r", noted / name, folder], check=True)
    [path] = (run_folder(reporter.folder) / "events/metric").iterdir()
    assert path.read_text().count("\n") == 60
    with path.open("a") as file:
        file.write("\n61|2026-11-23 00:0")
    assert reporter(*[train(step) for step in range(51, 61)], FINISHED, step=50) == 0
    check_is_one_run(reporter, polyaxon, range(1, 61))


def test_server_that_is_killed_and_comes_back_has_everything_once(reporter, polyaxon):
    process = reporter.start()
    tell(process, *range(1, 101))
    wait_until((reporter.folder / "tracking/polyaxon/files.json").exists)
    # Most likely in the midst of the first delivery.
    polyaxon.kill()
    for begin in range(101, 401, 100):
        tell(process, *range(begin, begin + 100))
        time.sleep(0.5)
    polyaxon.start()
    tell(process, *range(401, 501))
    process.communicate((json.dumps(FINISHED) + "\n").encode(), timeout=120)
    assert process.returncode == 0
    run = check_is_one_run(reporter, polyaxon, range(1, 501))
    assert any("cannot be reached" in line for line in polyaxon.logs(run))


def test_journal_of_a_killed_run_is_delivered_by_sync(build, reporter, polyaxon):
    picture = {"picture": {"name": "p", "step": 1, "width": 1, "height": 1, "pixels": [1, 2, 3]}}
    events = [RUNNING, {"parameters": {"lr": 0.1}}, picture, *map(train, range(1, 51)), FINISHED, {"kill": {}}]
    reporter.environment["POLYAXON_HOST"] = "http://127.0.0.1:9"  # nobody is there
    assert reporter(*events) == -signal.SIGKILL
    program = Program(build, reporter.folder, **{**reporter.environment, "POLYAXON_HOST": polyaxon.uri})
    for _ in range(2):  # a second time changes nothing
        assert "everything that . told is delivered" in program.done("sync", ".").stdout
        run = check_is_one_run(reporter, polyaxon, range(1, 51))
        assert run["inputs"] == {"lr": 0.1}
        assert polyaxon.artifact(run, "assets/image/p_1.png").startswith(b"\x89PNG")


def split(wanted):
    """Metrics, and what nodes use, which has a place of its own."""
    used = {key: wanted.pop(key) for key in list(wanted) if key.startswith("system/")}
    return wanted, {to_fqn_name(key.removeprefix("system/")): points for key, points in used.items()}


def check_metrics(polyaxon, run, folder):
    wanted, used = split(expected(folder))
    assert polyaxon.resources(run) == used and "cpu_utilization_percentage" in used
    lineage = polyaxon.lineage(run)
    assert {name for kind, name in lineage if kind == "metric"} == {to_fqn_name(key) for key in wanted}
    for key, points in wanted.items():
        assert polyaxon.events(run, "metric", to_fqn_name(key)) == points
        assert run["outputs"][to_fqn_name(key)] == points[-1][1]
    assert (run["inputs"]["optimizer.lr"], run["inputs"]["model.name"]) == (0.003, "resnet18")
    shown = {name for kind, name in lineage if kind == "image"}
    assert shown == {f"validation-{kind}" for kind in ["hardest", "most_confused", "predictions_with_gt"]}
    for name in shown:
        told = polyaxon.events(run, "image", name)
        assert [step for step, _ in told] == evaluated_steps(folder)
        for _, picture in told:
            assert polyaxon.artifact(run, json.loads(picture)["path"]).startswith(b"\x89PNG")
    assert {kind for kind, _ in lineage} >= {"histogram", "curve"}


def test_training_run_arrives_whole(build, dataset, polyaxon, request, tmp_path):
    program = Program(build, tmp_path, POLYAXON_HOST=polyaxon.uri, POLYAXON_PROJECT=f"default/{request.node.name}")
    make_training(tmp_path, dataset)
    done = program.done("train", "recipe.toml", "--data", "data", "--out", "run")
    assert "reporting to Polyaxon: POLYAXON_HOST is set" in done.stderr
    run, folder = polyaxon.run(request.node.name), tmp_path / "run"
    check_metrics(polyaxon, run, folder)
    assert run["status"] == "succeeded"
    [checkpoint] = (folder / "checkpoints").glob("step-*")
    for name in ["config.toml", "environment.json", f"checkpoints/{checkpoint.name}"]:
        assert polyaxon.artifact(run, f"outputs/{name}") == (folder / name).read_bytes()
    assert run["meta_info"]["has_model"]
    model = polyaxon.lineage(run)["model", to_fqn_name(f"checkpoints/{checkpoint.name}")]
    assert model["path"] == f"outputs/checkpoints/{checkpoint.name}"
    told = (folder / "log.txt").read_text()
    assert polyaxon.logs(run) and all(line in told for line in polyaxon.logs(run))
    assert "everything that run told is delivered" in program.done("sync", "run").stdout


def test_training_that_is_killed_and_resumed_is_one_run_without_gaps(build, dataset, polyaxon, request, tmp_path):
    program = Program(build, tmp_path, POLYAXON_HOST=polyaxon.uri, POLYAXON_PROJECT=request.node.name)
    make_training(tmp_path, dataset)
    arguments = ["train", "recipe.toml", "--data", "data", "--out", "run", "--set", "deterministic=true", "--set",
                 "train.epochs=6", "--set", "checkpoint.every_steps=3"]
    process = subprocess.Popen([program.path, *arguments], cwd=tmp_path, env=program.environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "run/checkpoints").glob("step-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    program.done(*arguments, "--resume", "auto")
    lines = map(json.loads, (tmp_path / "run/metrics.jsonl").read_text().splitlines())
    losses = [(line["step"], line["loss"]) for line in lines if line["group"] == "train"]
    assert len(losses) > 40
    run = polyaxon.run(request.node.name)
    assert polyaxon.events(run, "metric", to_fqn_name(LOSS)) == losses
    assert [status for status, _ in polyaxon.statuses(run)] == ["running", "succeeded"]


@GO_ON
def test_checkpoint_goes_on_with_its_run(build, dataset, polyaxon, tmp_path, where):
    project = "goes-on-" + where.replace(" ", "-")
    program = Program(build, tmp_path, POLYAXON_HOST=polyaxon.uri, POLYAXON_PROJECT=project)
    make_training(tmp_path, dataset)
    points, said = go_back_and_on(program, where)
    run = polyaxon.run(project)
    assert f"going on with the checkpoint's run of Polyaxon, {run['uuid']}; it would be a new one under another" in said
    points, used = split(points)
    assert polyaxon.resources(run) == used and used
    assert {key: polyaxon.events(run, "metric", to_fqn_name(key)) for key in points} == points
    assert run["outputs"] == {to_fqn_name(key): values[-1][1] for key, values in points.items()}
    summary = polyaxon.lineage(run)["metric", to_fqn_name(LOSS)]["summary"]
    losses = [value for _, value in points[LOSS]]
    assert summary["step"] == {"count": 21, "min": 1, "max": 21}
    assert summary["metric"] == {"count": 21, "min": min(losses), "max": max(losses), "last": losses[-1]}
    for name in [f"validation-{kind}" for kind in ["hardest", "most_confused", "predictions_with_gt"]]:
        told = polyaxon.events(run, "image", name)
        assert [step for step, _ in told] == [7, 14, 21]
        for _, picture in told:
            assert polyaxon.artifact(run, json.loads(picture)["path"]).startswith(b"\x89PNG")
    for kind, name in polyaxon.lineage(run):
        if kind in ("histogram", "curve"):
            assert [step for step, _ in polyaxon.events(run, kind, name)] == [7, 14, 21]
    assert [status for status, _ in polyaxon.statuses(run)] == ["running", "succeeded"] * 2
    assert sum(line.startswith("training resnet18 on") for line in polyaxon.logs(run)) == 2, "both have said it"


def rendered(file, **parameters):
    """The run of a file as Polyaxon would start it."""
    operation = check_polyaxonfile(polyaxonfile=str(file), params=parameters, is_cli=False, verbose=False)
    compiled = OperationSpecification.compile_operation(operation)
    compiled.apply_params(operation.params)
    compiled = CompiledOperationSpecification.apply_operation_contexts(compiled)
    contexts = {"globals": {"uuid": "0a1b"}}
    if compiled.is_distributed_run:
        contexts = {"master": contexts, "worker": contexts}
    return CompiledOperationSpecification.apply_runtime_contexts(compiled, contexts=contexts).run


def test_job_that_polyaxon_starts_reports_to_its_run(build, dataset, polyaxon, request, tmp_path):
    """The command of experiments/plx/train.yml, in the environment of a job; what the sidecar does is done by its code."""
    assert build == ROOT / "build/release", "train.yml names the program of ./check build"
    project, uuid, context = request.node.name, "0a1b" * 8, tmp_path / "context"
    # Polyaxon makes project and run.
    maker = Reporter(build, tmp_path / "maker", POLYAXON_HOST=polyaxon.uri,
                     POLYAXON_RUN_INSTANCE=f"default.{project}.runs.{uuid}")
    assert maker(RUNNING) == 0
    job = rendered(ROOT / "experiments/plx/train.yml", image="any", config=f"{tmp_path}/recipe.toml", data=f"{tmp_path}/data",
                   out=f"{tmp_path}/runs")
    program = Program(build, tmp_path, POLYAXON_HOST=polyaxon.uri, POLYAXON_IS_MANAGED="True",
                      POLYAXON_RUN_INSTANCE=f"default.{project}.runs.{uuid}", POLYAXON_CONTEXT_ROOT=str(context))
    make_training(tmp_path, dataset)
    done = subprocess.run([*job.container.command, *job.container.args], cwd=ROOT, env=program.environment, text=True,
                          capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    folder, artifacts = tmp_path / "runs/0a1b", context / "artifacts" / uuid
    subprocess.run([sys.executable, "-c", SIDECAR, project, uuid, artifacts / "events"], check=True, timeout=60,
                   env={**program.environment, "POLYAXON_IS_MANAGED": "False", "HOME": str(tmp_path)}, cwd=tmp_path)
    run = polyaxon.run(project)
    assert (run["uuid"], run["status"]) == (uuid, "running"), "how a job stands says Polyaxon"
    wanted, used = split(expected(folder))
    assert {file.stem for file in (artifacts / "resources/metric").iterdir()} == set(used)
    for key, points in wanted.items():
        read = V1Events.read("metric", key, str(artifacts / f"events/metric/{to_fqn_name(key)}.plx")).df
        assert list(zip(read.step, read.metric, strict=True)) == points
        assert run["outputs"][to_fqn_name(key)] == points[-1][1]
    assert (run["inputs"]["optimizer.lr"], run["meta_info"]["has_metrics"]) == (0.003, True)
    [checkpoint] = (folder / "checkpoints").glob("step-*")
    assert (artifacts / f"outputs/checkpoints/{checkpoint.name}").read_bytes() == checkpoint.read_bytes()
    assert ("model", to_fqn_name(f"checkpoints/{checkpoint.name}")) in polyaxon.lineage(run)
    assert not (artifacts / "plxlogs").exists(), "the job's own log is taken by Polyaxon"


def test_job_over_the_folder_of_an_earlier_one_brings_all_of_the_run(build, polyaxon, request, tmp_path):
    project, uuids = request.node.name, ["1" * 32, "2" * 32]
    reporter = Reporter(build, tmp_path / "run", POLYAXON_HOST=polyaxon.uri)
    picture = {"picture": {"name": "p", "step": 1, "width": 1, "height": 1, "pixels": [1, 2, 3]}}
    for uuid, events in zip(uuids, [[picture, *map(train, range(1, 51))], [*map(train, range(31, 61))]], strict=True):
        reporter.environment["POLYAXON_RUN_INSTANCE"] = f"default.{project}.runs.{uuid}"
        assert reporter(*events, FINISHED) == 0
    run = {"project": project, "uuid": uuids[1]}
    assert polyaxon.events(run, "metric", to_fqn_name(LOSS)) == [(step, 1 / step) for step in range(1, 61)]
    assert polyaxon.artifact(run, "assets/image/p_1.png").startswith(b"\x89PNG")


def test_distributed_job_is_one_that_polyaxon_knows():
    job = rendered(ROOT / "experiments/plx/train-distributed.yml", image="any", config="c.toml", data="/data", workers=3)
    assert (job.master.replicas, job.worker.replicas) == (1, 3)
    assert job.worker.container.args == job.master.container.args
    assert job.master.container.args == ["--data", "/data", "--out", "/runs/polyaxon/0a1b", "--resume", "auto", "--set",
                                         "tracking.system=polyaxon"]


def test_offline_run_is_pushed_by_polyaxons_own_command(build, dataset, polyaxon, request, tmp_path):
    program = Program(build, tmp_path, POLYAXON_IS_OFFLINE="true", POLYAXON_PROJECT=request.node.name)
    make_training(tmp_path, dataset)
    done = program.done("train", "recipe.toml", "--data", "data", "--out", "run")
    assert "reporting to Polyaxon: POLYAXON_IS_OFFLINE is set" in done.stderr
    folder = tmp_path / "run"
    offline = run_folder(folder)
    polyaxon.make_project(request.node.name)  # as the command wants it
    subprocess.run([sys.executable, "-m", "polyaxon", "ops", "push", "-p", f"default/{request.node.name}", "-uid", offline.name,
                    "--path", folder / "tracking/polyaxon"], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL, timeout=60,
                   env={**environment(), "POLYAXON_HOST": polyaxon.uri, "HOME": str(tmp_path)})
    run = polyaxon.run(request.node.name)
    assert (run["uuid"], run["status"]) == (offline.name, "succeeded")
    check_metrics(polyaxon, run, folder)
    [checkpoint] = (folder / "checkpoints").glob("step-*")
    assert polyaxon.artifact(run, f"outputs/checkpoints/{checkpoint.name}") == checkpoint.read_bytes()


def test_environments_that_cannot_be_meant_are_refused(build, dataset, tmp_path):
    named = ["train", "recipe.toml", "--data", "data", "--out", "run", "--set", "tracking.system=polyaxon"]
    make_training(tmp_path, dataset)
    for variables, problem in [
            ({}, 'tracking.system is "polyaxon": set POLYAXON_HOST to the address of its server'),
            ({"POLYAXON_HOST": "host:8000"}, 'POLYAXON_HOST is "host:8000"; it must be the http:// or https:// address'),
            ({"POLYAXON_HOST": "http://me:secret@host"}, "POLYAXON_HOST holds a user or a password"),
            ({"POLYAXON_HOST": "http://host", "POLYAXON_PROJECT": "a/b/c"}, 'POLYAXON_PROJECT holds the name "b/c"'),
            ({"POLYAXON_HOST": "http://host", "POLYAXON_AUTH_TOKEN": "secret\nX: y"}, "holds a line break"),
            ({"POLYAXON_HOST": "http://host", "POLYAXON_RUN_INSTANCE": "a.b.c"}, 'it must be "owner.project.runs.uuid"'),
            ({"POLYAXON_IS_OFFLINE": "true", "POLYAXON_RUN_INSTANCE": "a.b.runs."}, 'holds the name ""')]:
        result = Program(build, tmp_path, **variables)(*named)
        assert (result.returncode, problem in result.stderr) == (2, True), result.stderr
        assert "secret" not in result.stderr
        assert not (tmp_path / "run").exists()


def test_credentials_go_to_the_server_and_nowhere_else(build, tmp_path):
    seen = []

    class Nonsense(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.headers.get("Authorization"), self.headers.get("X-POLYAXON-SERVICE")))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, *_):
            pass

    (tmp_path / "context/.configs").mkdir(parents=True)
    (tmp_path / "context/.configs/.auth").write_text(json.dumps({"POLYAXON_AUTH_TOKEN": "se-cret"}))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        common = {"POLYAXON_HOST": f"http://127.0.0.1:{server.server_port}", "POLYAXON_HEADER": "X-POLYAXON-SERVICE",
                  "POLYAXON_HEADER_SERVICE": "sidecar"}
        job = {"POLYAXON_IS_MANAGED": "True", "POLYAXON_RUN_INSTANCE": "a.b.runs.0123",
               "POLYAXON_CONTEXT_ROOT": str(tmp_path / "context")}
        for name, variables, token in [("own", {"POLYAXON_AUTH_TOKEN": "se-cret", "POLYAXON_AUTHENTICATION_TYPE": "Odd"}, "Odd"),
                                         ("job", job, "Token")]:
            reporter = Reporter(build, tmp_path / name, **common, **variables)
            process = reporter.start()
            process.stdin.write((json.dumps(train(1)) + "\n").encode())
            process.stdin.close()
            wait_until(lambda: seen)  # noqa: B023
            process.kill()
            process.wait()
            assert set(seen) == {(f"{token} se-cret", "sidecar")}
            seen.clear()
            assert not any(b"cret" in path.read_bytes() for path in reporter.folder.rglob("*") if path.is_file())
        server.shutdown()


def test_file_that_is_too_large_is_left_out_and_told(build, tmp_path):
    uploads, statuses = [], []

    class Small(http.server.BaseHTTPRequestHandler):
        """Says what a server says, and has a proxy before it that takes no large files."""

        def answer(self, status):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path.endswith("/artifact"):
                uploads.append(self.path)
                status = 413 if b"too large" in body else 200
            if self.path.endswith("/statuses"):
                statuses.append(json.loads(body)["condition"]["type"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"settings": {"namespace": "other"}}')

        def do_GET(self):
            self.answer(200)

        def do_POST(self):
            self.answer(201)

        do_PATCH = do_GET

        def log_message(self, *_):
            pass

    (tmp_path / "file").write_text("too large")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Small) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reporter = Reporter(build, tmp_path / "run", POLYAXON_HOST=f"http://127.0.0.1:{server.server_port}")
        assert reporter(RUNNING, train(1), {"artifact": {"name": "big", "path": str(tmp_path / "file")}}, train(2), FINISHED) == 0
        assert reporter(train(3), step=2) == 0  # and what was told at the very end
        server.shutdown()
    assert statuses == ["running", "succeeded"]
    assert all(path.startswith("/streams/v1/other/default/millrace/runs/") for path in uploads)
    [line] = (run_folder(reporter.folder) / "plxlogs/logs.jsonl").read_text().splitlines()[1:]
    assert "outputs/big is larger than it, or a proxy before it, takes" in json.loads(line)["value"]
