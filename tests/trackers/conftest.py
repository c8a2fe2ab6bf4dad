"""The real servers, started from their pinned packages, and the programs that report to them. `./check trackers` sets
MILLRACE_BUILD, the build folder (default: build/release)."""

import base64
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
from outage import Outage
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
    headers = {"Content-Type": "application/json"}

    def arguments(self):
        return ["mlflow", "server", "--backend-store-uri", f"sqlite:///{self.folder}/store.db", "--artifacts-destination",
                self.folder / "artifacts", "--host", "127.0.0.1", "--port", self.port, "--workers", 1]

    def variables(self):
        return {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def call(self, path, body=None, /, **query):
        url = f"{self.uri}/api/2.0/mlflow/{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(), headers=self.headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def runs(self, experiment):
        found = self.call("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        return self.call("runs/search", {"experiment_ids": [found]}).get("runs", [])

    def run(self, experiment):
        """The only run of the experiment: id, status, and what it holds."""
        [run] = self.runs(experiment)
        return run

    def has_some_of(self, experiment):
        """Whether numbers of its runs are there."""
        with contextlib.suppress(urllib.error.HTTPError):  # there is no such experiment yet
            return any(run["data"].get("metrics") for run in self.runs(experiment))
        return False

    def history(self, run, key):
        metrics = self.call("metrics/get-history", run_id=run["info"]["run_id"], metric_key=key).get("metrics", [])
        return [(metric["step"], metric["value"]) for metric in metrics]

    def artifacts(self, run, path=""):
        files = self.call("artifacts/list", run_id=run["info"]["run_id"], path=path).get("files", [])
        return sorted(file["path"] for file in files)

    def artifact(self, run, path):
        query = urllib.parse.urlencode({"run_uuid": run["info"]["run_id"], "path": path})
        request = urllib.request.Request(f"{self.uri}/get-artifact?{query}", headers=self.headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()


class MlflowServerWithUsers(MlflowServer):
    """It shows users only what is theirs, and nothing to anybody else. (Passwords are ASCII: it takes artifacts with no others.)"""

    admin, admin_password = "admin", "a word of the administrator's"
    user, password = "trainer", "se:cret word/1%41"
    headers = {**MlflowServer.headers,
               "Authorization": "Basic " + base64.b64encode(f"{admin}:{admin_password}".encode()).decode()}

    def arguments(self):
        return [*super().arguments(), "--app-name", "basic-auth"]

    def variables(self):
        (self.folder / "users.ini").write_text(
            f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{self.folder}/users.db\n"
            f"admin_username = {self.admin}\nadmin_password = {self.admin_password}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\nauth_cache_ttl_seconds = 60\n")
        return {**super().variables(), "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "users.ini"),
                "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the tests"}

    def start(self):
        super().start()
        with contextlib.suppress(urllib.error.HTTPError):  # it is there already
            self.call("users/create", {"username": self.user, "password": self.password})


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
        for attempt in range(20):
            try:
                urllib.request.urlopen(request, timeout=60).close()
                return
            except urllib.error.HTTPError as error:
                # The server says now and then that it takes no POST there.
                if error.code != 405 or attempt == 19:
                    raise
                time.sleep(0.5)

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

    def has_some_of(self, project):
        """Whether numbers of its only run are there."""
        with contextlib.suppress(urllib.error.HTTPError, ValueError):  # there is no such project or run yet
            return bool(self.run(project)["outputs"])
        return False

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

    def resources(self, run):
        """What its page of that name shows: steps and values, by name."""
        found = json.loads(self.get(f"streams/v1/polyaxon/default/{run['project']}/runs/{run['uuid']}/resources", orient="dict",
                                    force="true"))
        return {file["name"]: list(zip(file["data"]["step"], file["data"]["metric"], strict=True)) for file in found["data"]}

    def artifact(self, run, path):
        return self.get(f"streams/v1/polyaxon/default/{run['project']}/runs/{run['uuid']}/artifact", path=path, stream="true",
                        force="true")

    def logs(self, run):
        found = json.loads(self.get(f"streams/v1/polyaxon/default/{run['project']}/runs/{run['uuid']}/logs", force="true"))
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


@pytest.fixture(scope="session", autouse=True)
def outages(request, build, dataset, tmp_path_factory):
    """Begun before all tests, beside which they pass; each is to be waited for. None where no test asks."""
    if not any(item.path.name == "test_outage.py" for item in request.session.items):
        yield None
        return
    folders = [tmp_path_factory.mktemp(f"outage-{name}") for name in ("mlflow", "polyaxon")]
    mlflow, polyaxon = MlflowServerWithUsers(folders[0]), PolyaxonServer(folders[1])
    both = {
        "mlflow": Outage(mlflow, Program(build, folders[0], MLFLOW_TRACKING_URI=mlflow.uri, MLFLOW_EXPERIMENT_NAME="outage",
                                         MLFLOW_TRACKING_USERNAME=mlflow.user, MLFLOW_TRACKING_PASSWORD=mlflow.password), dataset),
        "polyaxon": Outage(polyaxon, Program(build, folders[1], POLYAXON_HOST=polyaxon.uri, POLYAXON_PROJECT="outage"), dataset)}
    yield both
    for outage in both.values():
        outage.end()


def pytest_collection_modifyitems(items):
    """Outages last about as long as all other tests, and are looked at after them."""
    items.sort(key=lambda item: item.path.name == "test_outage.py")
