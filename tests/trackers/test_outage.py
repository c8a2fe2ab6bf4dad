"""Trainings whose real server is away for a minute lose nothing and tell nothing twice. The MLflow of these tests has users."""

import subprocess

import pytest
from support import Program, make_training
from test_mlflow import check_training
from test_polyaxon import check_metrics


@pytest.fixture(scope="module")
def mlflow(outages):
    return outages["mlflow"].wait().server


@pytest.fixture(scope="module", autouse=True)
def with_wrong_password(build, dataset, mlflow, tmp_path_factory):
    """A training, begun before the tests, which need not wait with it: at its end it has 30 s of patience."""
    folder = tmp_path_factory.mktemp("wrong")
    make_training(folder, dataset)
    program = Program(build, folder, MLFLOW_TRACKING_URI=mlflow.uri, MLFLOW_EXPERIMENT_NAME="wrong",
                      MLFLOW_TRACKING_USERNAME=mlflow.user, MLFLOW_TRACKING_PASSWORD="wr:ong")
    process = subprocess.Popen([program.path, "train", "recipe.toml", "--data", "data", "--out", "run"], cwd=folder,
                               env=program.environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    yield program, process
    process.kill()
    process.wait()


def files_with(folder, *secrets):
    return [path for path in folder.rglob("*") if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets)]


def check_was_told(outage, name):
    """That the server went and came back, while the training went on."""
    log = (outage.run / "log.txt").read_text()
    for line in (f"{name} at {outage.server.uri} cannot be reached (", f"{name} at {outage.server.uri} is back; "):
        assert line in outage.said and line in log
    assert log.count("interrupted at step") == 1


def test_training_reports_to_mlflow_with_a_password_through_an_outage(outages):
    outage = outages["mlflow"].wait()
    check_was_told(outage, "MLflow")
    check_training(outage.server, outage.project, outage.run)
    secrets = [outage.server.password, outage.server.admin_password]
    assert files_with(outage.run, *secrets) == []
    for secret in secrets:
        assert secret not in outage.said and secret.encode() not in outage.command_line


def test_training_reports_to_polyaxon_through_an_outage(outages):
    outage = outages["polyaxon"].wait()
    check_was_told(outage, "Polyaxon")
    run = outage.server.run(outage.project)
    check_metrics(outage.server, run, outage.run)
    assert [status for status, _ in outage.server.statuses(run)] == ["running", "stopped", "running", "succeeded"]


def test_wrong_password_is_told_with_what_to_do_and_fails_no_run(with_wrong_password, mlflow):
    program, process = with_wrong_password
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert ("cannot be reached (it answers 401: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN): the run goes on") in said
    assert "deliver them with: millrace sync run" in said
    secret = program.environment["MLFLOW_TRACKING_PASSWORD"]
    assert secret not in said
    assert files_with(program.folder / "run", secret) == []
    program.environment["MLFLOW_TRACKING_PASSWORD"] = mlflow.password
    assert "everything that run told is delivered" in program.done("sync", "run").stdout
    assert files_with(program.folder / "run", mlflow.password) == []
    check_training(mlflow, "wrong", program.folder / "run")
