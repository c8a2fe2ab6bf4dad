"""Event files against TensorBoard: its own reader (EventAccumulator) and its HTTP interface, over both of its loaders,
give back exactly what was emitted; also after interruptions, kills, torn files and steps back. Needs the program
tracking_judge."""

import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import numpy
import pytest
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

LOSS = "training/supervised batch loss"
ACCURACY = "validation/Accuracy"


def single(value):
    """The number as float32 has it."""
    return float(numpy.float32(value))


def train(step, loss=None, epoch=1):
    loss = 7.0 / step if loss is None else loss
    return {"scalars": {"group": "train", "step": step, "epoch": epoch, "values": {"loss": loss, "lr": 0.1 / step}}}


def val(step, epoch, top1):
    return {"scalars": {"group": "val", "step": step, "epoch": epoch, "values": {"top1": top1, "top5": top1 + 0.1}}}


def picture(step, width=31, height=17):
    pixels = numpy.random.default_rng(step).integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    return {"picture": {"name": "validation: predictions_with_gt", "step": step, "width": width, "height": height,
                        "pixels": pixels.ravel().tolist()}}, pixels


KILL = {"kill": {}}
FINISHED = {"status": {"state": 1, "step": 100}}
INTERRUPTED = {"status": {"state": 2, "step": 100}}
FAILED = {"status": {"state": 3, "step": 100, "reason": "the disk is full"}}


@pytest.fixture()
def emit(build, tmp_path):
    """Emits events as one process of a run would; the folder of the run is `emit.folder`."""
    program = build / "tests/tracking/tracking_judge"
    assert program.is_file(), f"{program} is not there: run './check build'"

    def emit(*events, step=0, pending=False):
        lines = "".join(json.dumps(event) + "\n" for event in events)
        done = subprocess.run([program, emit.folder, str(step), str(int(pending))], input=lines, text=True, check=False)
        assert done.returncode == (-signal.SIGKILL if KILL in events else 0)

    emit.folder = tmp_path / "runs" / "run"
    emit.folder.mkdir(parents=True)
    return emit


def event_files(folder):
    return sorted(folder.glob("*tfevents*"))


def accumulated(folder):
    # Nothing is sampled away.
    accumulator = event_accumulator.EventAccumulator(str(folder), size_guidance=dict.fromkeys(
        event_accumulator.DEFAULT_SIZE_GUIDANCE, 0))
    accumulator.Reload()
    return accumulator


class Server:
    """TensorBoard over a folder of runs."""

    def __init__(self, folder, fast):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}/"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--host", "127.0.0.1", "--port", str(port),
             f"--load_fast={'true' if fast else 'false'}", "--samples_per_plugin", "images=100,scalars=1000,histograms=100,pr_curves=100,text=100"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            self.wait_for("data/runs", lambda runs: runs == ["run"])
        except BaseException:
            self.close()
            raise

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def raw(self, path, data=None, **query):
        url = self.base + path + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(url, data=None if data is None else json.dumps(data).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def get(self, path, data=None, **query):
        return json.loads(self.raw(path, data, **query))

    def wait_for(self, path, good):
        """Its first answers come before it has read everything."""
        deadline, answer = time.monotonic() + 60, None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.stdout.read().decode()
            try:
                answer = self.get(path)
                if good(answer):
                    return answer
            except urllib.error.URLError as error:
                answer = error
            time.sleep(0.2)
        pytest.fail(f"{path}: {answer}")

    def scalars(self, tag):
        return [(step, value) for _, step, value in self.get("data/plugin/scalars/scalars", run="run", tag=tag)]


@pytest.fixture(params=[True, False], ids=["fast", "python"])
def serve(request, emit):
    """Starts TensorBoard over what was emitted, with its Rust loader or the Python one."""
    servers = []

    def serve():
        servers.append(Server(emit.folder.parent, request.param))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


def points(accumulator, tag):
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def expected_loss(*steps):
    return [(step, single(7.0 / step)) for step in steps]


def test_reader_returns_every_scalar_under_the_tags_and_axes_of_the_ignite_example(emit):
    emit(train(10), {"scalars": {"group": "train", "step": 10, "values": {"images_per_s": 512.5, "data_wait_share": 0.25}}},
         train(20), val(20, 1, 0.5), train(30, epoch=2), val(40, 2, 0.75),
         {"scalars": {"group": "train_eval", "step": 40, "epoch": 2, "values": {"top1": 0.875}}})
    reader = accumulated(emit.folder)
    assert {tag: points(reader, tag) for tag in reader.Tags()["scalars"]} == {
        LOSS: expected_loss(10, 20, 30),
        "lr/group_0": [(step, single(0.1 / step)) for step in (10, 20, 30)],
        "training/Throughput": [(10, 512.5)],
        "training/data_wait_share": [(10, 0.25)],
        "training/Accuracy": [(2, 0.875)],
        "validation/Accuracy": [(1, 0.5), (2, 0.75)],
        "validation/Top-5 Accuracy": [(1, single(0.6)), (2, single(0.85))],
    }
    before = time.time()
    assert all(before - 120 < event.wall_time <= before for event in reader.Scalars(LOSS))


def test_numbers_at_the_edges_come_back(emit):
    values = [1e-45, 3.4028234663852886e38, -0.0, 16777217.0]
    emit(*[train(step + 1, value) for step, value in enumerate(values)], train(5, "nan"), train(6, "inf"), train(7, "-inf"),
         train(2**31 + 1))
    losses = points(accumulated(emit.folder), LOSS)
    assert losses[:4] == [(step + 1, single(value)) for step, value in enumerate(values)]
    assert math.isnan(losses[4][1])
    assert [value for _, value in losses[5:7]] == [math.inf, -math.inf]
    assert losses[7] == (2**31 + 1, single(7.0 / (2**31 + 1)))


def test_pictures_histograms_and_texts_come_back(emit):
    first, pixels = picture(100)
    second, later_pixels = picture(200, 224, 448)
    histogram = {"name": "weights/conv1", "step": 100, "min": -1.5, "max": 2.0, "sum": 3.0, "sum_of_squares": 9.5,
                 "limits": [-1.0, 0.0, 1.0, 2.0], "counts": [1, 0, 3, 2]}
    emit(first, second, {"histogram": histogram}, {"note": {"name": "dataset", "step": 0, "markdown": "**ten** classes ü"}})
    reader = accumulated(emit.folder)
    images = reader.Images("validation: predictions_with_gt")
    assert [(image.step, image.width, image.height) for image in images] == [(100, 31, 17), (200, 224, 448)]
    for image, wanted in zip(images, (pixels, later_pixels), strict=True):
        path = emit.folder / "picture.png"
        path.write_bytes(image.encoded_image_string)
        assert numpy.array_equal(numpy.asarray(Image.open(path)), wanted)
    [read] = reader.Histograms("weights/conv1")
    value = read.histogram_value
    assert (value.min, value.max, value.num, value.sum, value.sum_squares) == (-1.5, 2.0, 6.0, 3.0, 9.5)
    assert (list(value.bucket_limit), list(value.bucket)) == (histogram["limits"], histogram["counts"])
    [text] = reader.Tensors("dataset")
    assert [value.decode() for value in text.tensor_proto.string_val] == ["**ten** classes ü"]


def test_http_interface_returns_what_was_written(emit, serve):
    event, pixels = picture(100)
    curve = {"name": "pr/tench", "step": 100, "tp": [6, 4, 1], "fp": [4, 1, 1], "tn": [0, 3, 3], "fn": [0, 2, 5]}
    histogram = {"name": "weights/conv1", "step": 100, "min": 0, "max": 2, "sum": 3, "sum_of_squares": 9.5,
                 "limits": [1, 2], "counts": [1, 2]}
    parameters = {"optimizer.lr": 0.1, "model.name": "resnet18", "deterministic": True, "train.epochs": 5}
    emit({"parameters": parameters}, train(10), train(20), train(30, "nan"), val(30, 1, 0.5), event, {"pr_curve": curve},
         {"histogram": histogram}, {"note": {"name": "dataset", "step": 3, "markdown": "**ten** classes"}}, FINISHED)
    server = serve()
    server.wait_for("data/plugin/scalars/tags", lambda tags: ACCURACY in tags.get("run", {}))
    assert sorted(server.get("data/plugin/scalars/tags")["run"]) == [
        "lr/group_0", LOSS, ACCURACY, "validation/Top-5 Accuracy"]
    losses = server.scalars(LOSS)
    assert losses == [*expected_loss(10, 20), (30, "NaN")]
    assert server.scalars(ACCURACY) == [(1, 0.5)]

    tag = "validation: predictions_with_gt"
    server.wait_for("data/plugin/images/tags", lambda tags: tag in tags.get("run", {}))
    [image] = server.get("data/plugin/images/images", run="run", tag=tag, sample="0")
    assert image["step"] == 100
    path = emit.folder / "picture.png"
    path.write_bytes(server.raw("data/plugin/images/individualImage?" + image["query"]))
    assert numpy.array_equal(numpy.asarray(Image.open(path)), pixels)

    [read] = server.get("data/plugin/pr_curves/pr_curves", run="run", tag="pr/tench")["run"]
    assert read["step"] == 100
    assert [read[key] for key in ("true_positives", "false_positives", "true_negatives", "false_negatives")] == [
        curve[key] for key in ("tp", "fp", "tn", "fn")]
    assert read["precision"] == [single(0.6), single(0.8), 0.5]
    assert read["recall"] == [1, single(4 / 6), single(1 / 6)]
    assert read["thresholds"] == [0, 0.5, 1]

    assert "weights/conv1" in server.get("data/plugin/histograms/tags")["run"]
    [[_, step, buckets]] = server.get("data/plugin/histograms/histograms", run="run", tag="weights/conv1")
    assert step == 100
    assert sum(count for _, _, count in buckets) == 3
    [text] = server.get("data/plugin/text/text", run="run", tag="dataset")
    assert text["step"] == 3
    assert "<strong>ten</strong> classes" in text["text"]

    experiment = server.get("data/plugin/hparams/experiment", {"experimentName": "", "hparamsLimit": 100})
    assert {info["name"]: info["type"] for info in experiment["hparamInfos"]} == {
        "optimizer.lr": "DATA_TYPE_FLOAT64", "model.name": "DATA_TYPE_STRING", "deterministic": "DATA_TYPE_BOOL",
        "train.epochs": "DATA_TYPE_FLOAT64"}
    # The page shows five at first.
    assert [info["name"] for info in experiment["hparamInfos"]] == [
        "model.name", "optimizer.lr", "train.epochs", "deterministic"]
    metrics = [info["name"] for info in experiment["metricInfos"]]
    assert {name["tag"] for name in metrics} == {LOSS, ACCURACY}
    groups = server.get("data/plugin/hparams/session_groups", {
        "experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "startIndex": 0, "sliceSize": 10,
        "colParams": [{"metric": name, "includeInResult": True} for name in metrics]
        + [{"hparam": name, "includeInResult": True} for name in parameters]})["sessionGroups"]
    assert len(groups) == 1
    assert groups[0]["hparams"] == parameters
    assert {value["name"]["tag"]: value["value"] for value in groups[0]["metricValues"]}[ACCURACY] == 0.5
    assert groups[0]["sessions"][0]["status"] == "STATUS_SUCCESS"


def test_failed_run_is_shown_as_failed_and_interrupted_one_has_no_end(emit, serve):
    emit({"parameters": {"optimizer.lr": 0.1}}, train(10), INTERRUPTED)
    emit({"parameters": {"optimizer.lr": 0.1}}, train(20), step=10)
    statuses = {"experimentName": "", "startIndex": 0, "sliceSize": 10, "colParams": [],
                "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_RUNNING", "STATUS_SUCCESS", "STATUS_FAILURE"]}
    server = serve()
    server.wait_for("data/plugin/scalars/tags", lambda tags: LOSS in tags.get("run", {}))

    def status(server):
        [group] = server.get("data/plugin/hparams/session_groups", statuses)["sessionGroups"]
        return [session["status"] for session in group["sessions"]]

    assert status(server) == ["STATUS_UNKNOWN"]  # it has no end yet
    emit({"parameters": {"optimizer.lr": 0.1}}, train(30), FAILED, step=20)
    server = serve()
    server.wait_for("data/plugin/scalars/tags", lambda tags: LOSS in tags.get("run", {}))
    assert status(server) == ["STATUS_FAILURE"]
    # Whoever goes on takes the end back.
    emit({"parameters": {"optimizer.lr": 0.1}}, train(31), FINISHED, step=30)
    server = serve()
    server.wait_for("data/plugin/scalars/tags", lambda tags: LOSS in tags.get("run", {}))
    assert status(server) == ["STATUS_SUCCESS"]


def test_killed_run_that_goes_on_from_an_earlier_step_has_every_point_once(emit, serve):
    emit({"parameters": {"optimizer.lr": 0.1}}, *[train(step) for step in (10, 20, 30)], val(30, 1, 0.25),
         *[train(step) for step in (40, 50, 60)], val(60, 2, 0.5), picture(60)[0], train(70), KILL)
    # The checkpoint was of step 40: what came after it comes again, and with other values. 70 does not.
    emit(train(50, 1.0), train(60, 2.0), val(60, 2, 0.625), picture(60)[0], KILL, step=40)
    wanted = {LOSS: [*expected_loss(10, 20, 30, 40), (50, 1.0), (60, 2.0)], ACCURACY: [(1, 0.25), (2, 0.625)]}
    reader = accumulated(emit.folder)
    assert {tag: points(reader, tag) for tag in wanted} == wanted
    assert [image.step for image in reader.Images("validation: predictions_with_gt")] == [60]
    server = serve()
    server.wait_for("data/plugin/scalars/tags", lambda tags: ACCURACY in tags.get("run", {}))
    server.wait_for("data/plugin/scalars/scalars?" + urllib.parse.urlencode({"run": "run", "tag": LOSS}),
                    lambda answer: len(answer) == 6)
    assert {tag: server.scalars(tag) for tag in wanted} == wanted


def test_reader_that_was_open_all_the_time_sees_the_step_back(emit):
    emit(*[train(step) for step in (10, 20, 30)], KILL)
    reader = accumulated(emit.folder)
    assert points(reader, LOSS) == expected_loss(10, 20, 30)
    emit(train(20, 1.0), step=10)
    reader.Reload()
    assert points(reader, LOSS) == [*expected_loss(10), (20, 1.0)]


def test_evaluation_that_was_interrupted_is_there_once(emit):
    emit(train(10), val(10, 1, 0.5), KILL)  # killed before the checkpoint that knows of the evaluation
    emit(val(10, 1, 0.75), train(20), step=10, pending=True)
    reader = accumulated(emit.folder)
    assert points(reader, ACCURACY) == [(1, 0.75)]
    assert points(reader, LOSS) == expected_loss(10, 20)
    # The other way round: the checkpoint knows of it, and it stays.
    emit(train(20, 9.0), step=10)
    reader = accumulated(emit.folder)
    assert points(reader, ACCURACY) == [(1, 0.75)]
    assert points(reader, LOSS) == [*expected_loss(10), (20, 9.0)]


def test_picture_that_took_its_time_stays_with_what_came_before_it(emit):
    # Drawn while the next steps were made: cut only where the run goes back behind those.
    emit(train(30), val(30, 1, 0.5), train(40), picture(30)[0], train(50), KILL)
    emit(train(50, 5.0), step=40)
    reader = accumulated(emit.folder)
    assert [image.step for image in reader.Images("validation: predictions_with_gt")] == [30]
    assert points(reader, LOSS) == [*expected_loss(30, 40), (50, 5.0)]
    emit(train(40, 4.0), step=30)
    reader = accumulated(emit.folder)
    assert points(reader, LOSS) == [*expected_loss(30), (40, 4.0)]
    assert points(reader, ACCURACY) == [(1, 0.5)]
    assert reader.Tags()["images"] == []


def test_run_that_begins_again_leaves_nothing_of_the_old_one(emit):
    emit(train(10), val(10, 1, 0.5), KILL)
    emit(train(10, 5.0))
    reader = accumulated(emit.folder)
    assert points(reader, LOSS) == [(10, 5.0)]
    assert ACCURACY not in reader.Tags()["scalars"]
    assert len(event_files(emit.folder)) == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "zeros"])
def test_torn_tail_costs_nothing_but_itself(emit, damage):
    emit(*[train(step) for step in (10, 20, 30, 40)], KILL)
    [file] = event_files(emit.folder)
    content = bytearray(file.read_bytes())
    size = len(content)
    if damage == "cut":
        del content[-7:]  # in the checksum and data of the last record
    elif damage == "flip":
        content[-10] ^= 4
    else:
        content[-20:] = bytes(20)  # what a power cut leaves in a file whose length was already written
    file.write_bytes(content)
    assert points(accumulated(emit.folder), LOSS) == expected_loss(10, 20, 30)
    # The run goes on from what the tail was, or from before it: all points are there, each once.
    emit(train(40, 4.0), train(50), step=30)
    assert file.stat().st_size < size
    assert points(accumulated(emit.folder), LOSS) == [*expected_loss(10, 20, 30), (40, 4.0), *expected_loss(50)]
    emit(train(60), step=50)
    assert points(accumulated(emit.folder), LOSS) == [
        *expected_loss(10, 20, 30), (40, 4.0), *expected_loss(50, 60)]


def test_every_cut_of_a_file_is_taken_up(emit, tmp_path):
    emit(*[train(step) for step in (10, 20, 30)], KILL)
    [file] = event_files(emit.folder)
    content = file.read_bytes()
    folder = emit.folder
    for size in range(0, len(content), 13):
        emit.folder = tmp_path / f"cut-{size}" / "run"
        emit.folder.mkdir(parents=True)
        (emit.folder / file.name).write_bytes(content[:size])
        emit(train(40), step=30)
        if size == 0:
            continue
        losses = points(accumulated(emit.folder), LOSS)
        assert losses == expected_loss(*[10, 20, 30][: len(losses) - 1], 40), size
    emit.folder = folder


def test_files_of_others_stay_as_they_are(emit):
    emit(train(10))
    [ours] = event_files(emit.folder)
    foreign = emit.folder / "events.out.tfevents.0000000001.elsewhere.1.0"
    header = bytes.fromhex("09") + struct.pack("<d", 1.0) + b"\x1a\x0dbrain.Event:2"
    other = emit.folder / "events.out.tfevents.mine"
    foreign.write_bytes(header)
    other.write_text("not a record")
    emit(train(10))
    assert foreign.read_bytes() == header
    assert other.read_text() == "not a record"
    assert not ours.exists()


def test_processes_of_one_second_are_read_in_their_order(emit):
    for step in range(1, 6):
        emit(train(step), step=step - 1)
    assert len(event_files(emit.folder)) == 5
    assert points(accumulated(emit.folder), LOSS) == expected_loss(1, 2, 3, 4, 5)


def test_checksums_are_those_of_the_reference(emit):
    """The reader drops what it cannot check without a word, so that a wrong checksum would look like a short file."""
    emit(train(1))
    [file] = event_files(emit.folder)
    content, at, records = file.read_bytes(), 0, 0

    def masked(data):
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    while at < len(content):
        length, check = struct.unpack_from("<QI", content, at)
        assert check == masked(content[at:at + 8])
        data = content[at + 12:at + 12 + length]
        assert struct.unpack_from("<I", content, at + 12 + length)[0] == masked(data)
        at += 16 + length
        records += 1
    assert records == 2
