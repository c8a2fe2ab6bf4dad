"""The real servers, started from their pinned packages, and the programs that report to them. `./check trackers` sets
MILLRACE_BUILD, the build folder (default: build/release)."""

import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from support import Program, environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def build():
    folder = Path(os.environ.get("MILLRACE_BUILD", ROOT / "build/release")).absolute()
    assert (folder / "millrace").is_file(), f"{folder}/millrace is not there: run './check build', or set MILLRACE_BUILD"
    return folder


@pytest.fixture(scope="session")
def dataset(build, tmp_path_factory):
    """Of three classes, to train a little on."""
    program = Program(build, tmp_path_factory.mktemp("dataset"))
    program.done("synth", "--to", "pictures", "--images", 60, "--classes", 3)
    program.done("convert", "--from", "pictures", "--to", "data")
    program.done("convert", "--from", "pictures", "--to", "data", "--split", "val")
    return program.folder / "data"


class Server:
    """A server that can be killed and started again over the same data."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *map(str, self.arguments())], env={**environment(), **self.variables()}, cwd=self.folder,
                stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(self.uri + self.health, timeout=5):
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.2)
        pytest.fail("the server does not start:\n" + (self.folder / "log").read_text())

    def kill(self):
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class MlflowServer(Server):
    health = "/health"

    def arguments(self):
        return ["mlflow", "server", "--backend-store-uri", f"sqlite:///{self.folder}/store.db", "--artifacts-destination",
                self.folder / "artifacts", "--host", "127.0.0.1", "--port", self.port, "--workers", 1]

    def variables(self):
        return {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def call(self, path, body=None, /, **query):
        url = f"{self.uri}/api/2.0/mlflow/{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def runs(self, experiment):
        found = self.call("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        return self.call("runs/search", {"experiment_ids": [found]}).get("runs", [])

    def run(self, experiment):
        """The only run of the experiment: id, status, and what it holds."""
        [run] = self.runs(experiment)
        return run

    def history(self, run, key):
        metrics = self.call("metrics/get-history", run_id=run["info"]["run_id"], metric_key=key).get("metrics", [])
        return [(metric["step"], metric["value"]) for metric in metrics]

    def artifacts(self, run, path=""):
        files = self.call("artifacts/list", run_id=run["info"]["run_id"], path=path).get("files", [])
        return sorted(file["path"] for file in files)

    def artifact(self, run, path):
        query = urllib.parse.urlencode({"run_uuid": run["info"]["run_id"], "path": path})
        with urllib.request.urlopen(f"{self.uri}/get-artifact?{query}", timeout=60) as answer:
            return answer.read()


class PolyaxonServer(Server):
    """Polyaxon's server for one machine."""

    health = "/healthz/"

    def arguments(self):
        return ["haupt", "sandbox", "start", "--host", "127.0.0.1", "--port", self.port, "--workers", 1, "--path",
                self.folder / "home"]

    def variables(self):
        return {"HOME": str(self.folder), "POLYAXON_HOME": f"{self.folder}/home",
                "POLYAXON_ARCHIVES_ROOT": f"{self.folder}/archives", "POLYAXON_OFFLINE_ROOT": f"{self.folder}/offline"}

    def make_project(self, name):
        request = urllib.request.Request(f"{self.uri}/api/v1/default/projects/create", data=json.dumps({"name": name}).encode(),
                                         headers={"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).close()

    def get(self, path, /, **query):
        url = f"{self.uri}/{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read()
            # Not that it was asked for.
            return gzip.decompress(content) if answer.headers["Content-Encoding"] == "gzip" else content

    def runs(self, project):
        return json.loads(self.get(f"api/v1/default/{project}/runs"))["results"]

    def run(self, project):
        """The only run of the project, with all that it holds."""
        [run] = self.runs(project)
        return json.loads(self.get(f"api/v1/default/{project}/runs/{run['uuid']}"))

    def statuses(self, run):
        found = json.loads(self.get(f"api/v1/default/{run['project']}/runs/{run['uuid']}/statuses"))
        return [(condition["type"], condition["message"]) for condition in found["status_conditions"]]

    def lineage(self, run):
        """By kind and name."""
        found = json.loads(self.get(f"api/v1/default/{run['project']}/runs/{run['uuid']}/lineage/artifacts", limit=500))
        assert len(found["results"]) == found["count"]
        return {(entry["kind"], entry["name"]): entry for entry in found["results"]}

    def events(self, run, kind, name):
        """Steps and values, as the dashboard gets them. Forced, for the server keeps what it was asked for once."""
        path = f"streams/v1/polyaxon/default/{run['project']}/runs/{run['uuid']}/events/{kind}"
        found = json.loads(self.get(path, names=name, orient="dict", force="true"))
        if not found["data"]:
            return []
        [file] = found["data"]
        return list(zip(file["data"]["step"], file["data"][kind], strict=True))

    def artifact(self, run, path):
        return self.get(f"streams/v1/polyaxon/default/{run['project']}/runs/{run['uuid']}/artifact", path=path, stream="true",
                        force="true")

    def logs(self, run):
        found = json.loads(self.get(f"streams/v1/polyaxon/default/{run['project']}/runs/{run['uuid']}/logs"))
        return [line["value"] for line in found["logs"]]


@pytest.fixture(scope="session")
def started_polyaxon(tmp_path_factory):
    server = PolyaxonServer(tmp_path_factory.mktemp("polyaxon"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def polyaxon(started_polyaxon):
    """The server, up when the test begins."""
    if started_polyaxon.process is None:
        started_polyaxon.start()
    return started_polyaxon


@pytest.fixture(scope="session")
def started_mlflow(tmp_path_factory):
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mlflow(started_mlflow):
    """The server, up when the test begins."""
    if started_mlflow.process is None:
        started_mlflow.start()
    return started_mlflow
