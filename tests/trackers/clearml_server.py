"""A stand-in for a ClearML server, which cannot be had from a package: it takes what the schemas of the official SDK
allow and what the rules of the real server do, and keeps it. The SDK itself runs against it, too (test_clearml.py)."""

import base64
import functools
import http.server
import importlib
import json
import re
import threading
import time
import traceback
import urllib.parse
import uuid
from pathlib import Path

import jsonschema
import jwt

KEY, SECRET = "key", "se:cret/+"


class Refused(Exception):
    def __init__(self, code, subcode, message):
        super().__init__(message)
        self.code, self.subcode, self.message = code, subcode, message


@functools.cache
def request_judge(service, action):
    """Of the request, by the SDK's newest services."""
    module = importlib.import_module(f"clearml.backend_api.services.v2_23.{service}")
    name = "".join(part.capitalize() for part in action.split("_")) + "Request"
    return jsonschema.Draft7Validator(getattr(module, name)._schema)


@functools.cache
def event_judge(kind):
    events = importlib.import_module("clearml.backend_api.services.v2_23.events")
    classes = {"training_stats_scalar": events.MetricsScalarEvent, "training_debug_image": events.MetricsImageEvent,
               "plot": events.MetricsPlotEvent, "log": events.TaskLogEvent}
    return jsonschema.Draft7Validator({**classes[kind]._schema, "definitions": events.AddRequest._schema["definitions"]})


class ClearmlServer:
    """API and file server at one address. `strict`: no field that the schemas do not name, which the real one ignores."""

    def __init__(self, folder, strict=True):
        self.folder, self.strict = Path(folder), strict
        self.lock = threading.RLock()
        self.projects, self.tasks, self.events, self.tokens = {}, {}, {}, set()
        self.calls = []  # (call, body)
        self.headers = []
        self.refused = []  # (call, message)
        self.errors = []  # of its own
        self.tool = None
        self.port = 0
        self.fault = None  # called with each path: may answer in the server's place

    # ---- the process ----

    def start(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer goes out in one piece

            def handle_expect_100(self):
                answer = super().handle_expect_100()
                self.wfile.flush()
                return answer

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    code, answer = server.answer(self.path, self.headers, body)
                except ConnectionAbortedError:  # as a test wants it
                    self.close_connection = True
                    return
                except Exception:
                    server.errors.append(traceback.format_exc())
                    raise
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST
            do_PUT = do_POST

            def log_message(self, *_):
                pass

        class Tool(http.server.ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that was killed

        self.tool = Tool(("127.0.0.1", self.port), Handler)
        self.port = self.tool.server_port
        threading.Thread(target=self.tool.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.tool.shutdown()
        self.tool.server_close()

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self):
        return {"CLEARML_API_HOST": self.uri, "CLEARML_FILES_HOST": self.uri, "CLEARML_WEB_HOST": self.uri,
                "CLEARML_API_ACCESS_KEY": KEY, "CLEARML_API_SECRET_KEY": SECRET}

    # ---- requests ----

    def answer(self, path, headers, body):
        with self.lock:
            self.headers.append(dict(headers))
            if self.fault is not None and (answer := self.fault(path)) is not None:
                return answer
            path, _, query = path.partition("?")
            name = re.sub(r"^/v[0-9.]+", "", path).strip("/")
            try:
                if re.fullmatch(r"[a-z_]+\.[a-z_]+", name):
                    code, sub, message, data = 200, 0, "OK", self.call(name, headers, body, query)
                else:
                    return 200, self.file(path, headers, body)
            except Refused as refused:
                code, sub, message, data = refused.code, refused.subcode, refused.message, {}
                self.refused.append((name, message))
            meta = {"id": uuid.uuid4().hex, "trx": uuid.uuid4().hex, "endpoint": {"name": name, "requested_version": "2.23",
                    "actual_version": "1.0"}, "result_code": code, "result_subcode": sub, "result_msg": message,
                    "error_stack": None, "error_data": {}}
            return code, json.dumps({"meta": meta, "data": data}).encode()

    def check_token(self, headers):
        given = headers.get("Authorization", "")
        if not given:
            raise Refused(401, 20, "Unauthorized (missing credentials)")
        if not given.startswith("Bearer ") or given[7:] not in self.tokens:
            raise Refused(401, 30, "Unauthorized (invalid token)")

    def call(self, name, headers, body, query):
        if name == "auth.login":
            return self.login(headers, query)
        self.check_token(headers)
        service, action = name.split(".")
        lines = headers.get("Content-Type", "").startswith("application/json-lines")
        if name == "events.add_batch":
            if not lines:
                raise Refused(400, 11, "Validation error: batch requests are application/json-lines")
            request = [json.loads(line, parse_constant=self.no_constant) for line in body.decode().splitlines()]
        else:
            request = json.loads(body or b"{}", parse_constant=self.no_constant)
            self.check(request, request_judge(service, action), name)
        self.calls.append((name, request))
        return getattr(self, f"{service}_{action}")(request)

    @staticmethod
    def no_constant(name):
        raise Refused(400, 12, f"Validation error: {name} is no JSON")

    def check(self, value, judge, what):
        if self.strict and (more := set(value) - set(judge.schema["properties"])):
            raise Refused(400, 12, f"Validation error: {what} has no {sorted(more)}")
        if (error := next(judge.iter_errors(value), None)) is not None:
            raise Refused(400, 12, f"Validation error ({what}): {error.message}")

    def login(self, headers, query):
        kind, _, given = headers.get("Authorization", "").partition(" ")
        known = (kind == "Basic" and base64.b64decode(given).decode() == f"{KEY}:{SECRET}") or (
            kind == "Bearer" and given in self.tokens)
        if not kind:
            raise Refused(401, 20, "Unauthorized (missing credentials)")
        if not known:
            raise Refused(401, 22, "Unauthorized (invalid credentials)")
        seconds = int(urllib.parse.parse_qs(query).get("expiration_sec", ["86400"])[0])
        token = jwt.encode({"api_version": "2.30", "server_version": "1.15", "feature_set": "basic",
                            "exp": int(time.time()) + seconds, "n": len(self.tokens)}, "x" * 32)
        self.tokens.add(token)
        return {"token": token}

    def file(self, path, headers, body):
        """The file server: a form whose fields are called by their paths; what is there can be had again."""
        if not body:
            target = self.folder / urllib.parse.unquote(path).strip("/")
            return target.read_bytes() if target.is_file() else b"[]"
        self.check_token(headers)
        boundary = re.search(r'boundary="?([^";]+)', headers["Content-Type"])[1].encode()
        paths = []
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            disposition = re.search(rb'name="([^"]+)"; filename="([^"]+)"', head)
            assert disposition, head
            name = disposition[1].decode().lstrip("/")
            target = (self.folder / urllib.parse.unquote(name)).resolve()
            assert target.is_relative_to(self.folder.resolve()), name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content[:-2])
            paths.append(name)
        return json.dumps(paths).encode()

    # ---- projects ----

    def projects_get_all(self, request):
        pattern = re.compile(request.get("name") or "")
        wanted = request.get("id")
        found = [{"id": key, "name": name} for key, name in self.projects.items()
                 if pattern.search(name) and (not wanted or key in wanted)]
        return {"projects": found}

    projects_get_all_ex = projects_get_all

    def projects_create(self, request):
        if request["name"] in self.projects.values():
            raise Refused(400, 801, "Project name already exists")
        key = uuid.uuid4().hex
        self.projects[key] = request["name"]
        return {"id": key}

    def projects_get_by_id(self, request):
        return {"project": {"id": request["project"], "name": self.projects[request["project"]]}}

    # ---- tasks ----

    def task(self, request, states=None):
        task = self.tasks.get(request["task"])
        if task is None:
            raise Refused(400, 101, f"Invalid task id: {request['task']}")
        if states is not None and task["status"] not in states and not request.get("force"):
            raise Refused(400, 110, f"Invalid task status: expected={states[0]}, status={task['status']}")
        return task

    def tasks_create(self, request):
        if len(request["name"]) < 3:
            raise Refused(400, 800, "Field validation error: name")
        key = uuid.uuid4().hex
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        self.tasks[key] = {"hyperparams": {}, "configuration": {}, "execution": {}, **request, "id": key, "status": "created",
                           "created": now, "last_update": now, "last_change": now, "last_iteration": 0, "user": "u"}
        self.events[key] = {}
        return {"id": key}

    def tasks_get_by_id(self, request):
        return {"task": self.task(request)}

    def tasks_get_all(self, request):
        found = list(self.tasks.values())
        for key in ("id", "status", "project"):
            if request.get(key):
                found = [task for task in found if task.get(key) in request[key]]
        if request.get("system_tags"):
            found = [task for task in found if set(task.get("system_tags", [])) & set(request["system_tags"])]
        if request.get("name"):
            found = [task for task in found if re.search(request["name"], task["name"])]
        return {"tasks": [{key: task[key] for key in request.get("only_fields") or task if key in task} for task in found]}

    tasks_get_all_ex = tasks_get_all

    def change(self, request, status, states):
        task = self.task(request, states)
        task.update(status=status, status_reason=request.get("status_reason"), status_message=request.get("status_message"))
        return {"updated": 1, "fields": {"status": status}, "started": 1, "dequeued": 1}

    def tasks_started(self, request):
        return self.change(request, "in_progress", ["created", "queued", "in_progress", "unknown"])

    def tasks_completed(self, request):
        return self.change(request, "completed", ["in_progress", "stopped"])

    def tasks_stopped(self, request):
        return self.change(request, "stopped", ["in_progress"])

    def tasks_failed(self, request):
        return self.change(request, "failed", ["in_progress"])

    def tasks_ping(self, request):
        self.task(request)
        return {}

    def tasks_edit(self, request):
        task = self.task(request, ["created"])
        task.update({key: value for key, value in request.items() if key not in ("task", "force")})
        return {"updated": 1}

    def tasks_update(self, request):
        self.task(request).update({key: value for key, value in request.items() if key != "task"})
        return {"updated": 1}

    def tasks_set_requirements(self, request):
        self.task(request).setdefault("script", {})["requirements"] = request["requirements"]
        return {"updated": 1}

    def tasks_edit_hyper_params(self, request):
        task = self.task(request, ["created"])
        if request.get("replace_hyperparams") == "all":
            task["hyperparams"] = {}
        for item in request["hyperparams"]:
            task["hyperparams"].setdefault(item["section"], {})[item["name"]] = item
        return {"updated": 1}

    def tasks_edit_configuration(self, request):
        task = self.task(request, ["created"])
        for item in request["configuration"]:
            task["configuration"][item["name"]] = item
        return {"updated": 1}

    def tasks_add_or_update_artifacts(self, request):
        task = self.task(request, ["created", "in_progress"])
        artifacts = task["execution"].setdefault("artifacts", [])
        for artifact in request["artifacts"]:
            artifacts[:] = [other for other in artifacts if other["key"] != artifact["key"]] + [artifact]
        return {"updated": 1}

    def tasks_clone(self, request):
        """As the pages do it: with parameters, configuration and script, without what a run told."""
        task = self.task(request)
        key = self.tasks_create({"name": request.get("new_task_name") or task["name"], "type": task["type"]})["id"]
        copy = json.loads(json.dumps({name: task[name] for name in ("hyperparams", "configuration", "script", "project")}))
        self.tasks[key].update(copy, parent=task["id"])
        return {"id": key}

    # ---- events ----

    def events_add_batch(self, request):
        added, errors = 0, {}
        for event in request:
            self.check(event, event_judge(event["type"]), f"event {event['type']}")
            task = self.tasks.get(event["task"])
            if task is None or task["status"] == "published":
                errors["Invalid task id"] = errors.get("Invalid task id", 0) + 1
                continue
            if abs(event.get("value", 0)) > 3.4028235e38:  # the index has 32-bit floats
                errors["Error when indexing events batch"] = errors.get("Error when indexing events batch", 0) + 1
                continue
            # Lines of the console have no identity; everything else is known by this.
            key = (uuid.uuid4().hex,) if event["type"] == "log" else tuple(
                event.get(name) for name in ("type", "iter", "metric", "variant", "key"))
            self.events[task["id"]][key] = event
            task["last_iteration"] = max(task["last_iteration"], event.get("iter") or 0)
            added += 1
        if not added:
            raise Refused(400, 131, f"Events not added: {errors}")
        return {"added": added, "errors": sum(errors.values()), "errors_info": errors}

    def events_get_task_log(self, request):
        lines = [event for event in self.events[request["task"]].values() if event["type"] == "log"]
        lines.sort(key=lambda event: event["timestamp"], reverse=request.get("navigate_earlier", True))
        return {"events": lines[:request.get("batch_size", 500)], "returned": len(lines), "total": len(lines)}

    # ---- for tests ----

    def only_task(self, project=None):
        [task] = [task for task in self.tasks.values() if project is None or self.projects[task["project"]] == project]
        return task

    def of_kind(self, task, kind):
        return [event for event in self.events[task["id"]].values() if event["type"] == kind]

    def scalars(self, task):
        """Tag -> [(iteration, value)]."""
        found = {}
        for event in sorted(self.of_kind(task, "training_stats_scalar"), key=lambda event: event["iter"]):
            found.setdefault(f"{event['metric']}/{event['variant']}", []).append((event["iter"], event["value"]))
        return found

    def lines(self, task):
        return [event["msg"] for event in self.of_kind(task, "log")]

    def parameters(self, task, section="General"):
        return {name: item["value"] for name, item in task["hyperparams"].get(section, {}).items()}

    def bytes_at(self, address):
        assert address.startswith(self.uri + "/"), address
        return (self.folder / urllib.parse.unquote(address[len(self.uri) + 1:])).read_bytes()
