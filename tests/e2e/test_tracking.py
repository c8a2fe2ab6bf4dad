"""What a run leaves for TensorBoard, by its own reader, against metrics.jsonl and timings.jsonl."""

import io
import json
import signal
import time

import numpy
import pytest
from PIL import Image
from safetensors.numpy import load_file
from support import CLASSES, TIME_LIMIT_S, copy_run, event_reader, metrics, pictures
from tensorboard.plugins.hparams import plugin_data_pb2

NAMES = {"loss": "supervised batch loss", "images_per_s": "Throughput", "top1": "Accuracy", "top5": "Top-5 Accuracy",
         "error": "Error"}


def expected(run):
    """What the run's own files say, under TensorBoard's tags."""
    points = {}
    timings = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
    for line in [*metrics(run), *timings]:
        group, step, epoch = line.pop("group"), line.pop("step"), line.pop("epoch")
        for name, value in line.items():
            if isinstance(value, str):
                continue  # digests
            if group == "train":
                tag = "lr/group_0" if name == "lr" else f"training/{NAMES.get(name, name)}"
            elif group == "system":
                tag = f"system/{name}"
            else:
                tag = "validation/" + ("loss" if name == "loss" else NAMES.get(name, name))
            points.setdefault(tag, []).append((epoch if group == "val" else step, float(numpy.float32(value))))
    return points


def read(run):
    reader = event_reader(run)
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def hparams(run, tag):
    content = event_reader(run).SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_reader_finds_every_number_of_the_run(straight):
    points = read(straight)
    assert points == expected(straight)
    assert len(points["training/supervised batch loss"]) == 14
    assert [epoch for epoch, _ in points["validation/Accuracy"]] == [1, 2]
    # What the machine uses is told as the run ends at the latest, and is no result.
    assert points["system/system_memory_usage_megabytes"][-1][0] == 14
    assert "system" not in {line["group"] for line in metrics(straight)}
    session = hparams(straight, "session_start_info").session_start_info.hparams
    assert session["optimizer.lr"].number_value == 0.003
    assert session["model.name"].string_value == "resnet18"
    assert session["data.train.split"].string_value == "train"
    assert hparams(straight, "session_end_info").session_end_info.status == 1  # success


def test_each_evaluation_shows_samples_with_what_was_said_of_them(straight):
    steps = [line["step"] for line in metrics(straight) if line["group"] == "val"]
    shown = pictures(straight)
    assert set(shown) == {(f"validation: {kind}", step) for step in steps
                          for kind in ["predictions_with_gt", "hardest", "most_confused"]}
    for (tag, step), png in shown.items():
        picture = numpy.asarray(Image.open(io.BytesIO(png)))
        # Twelve, six in a row, each with a frame; the frames' upper left corners tell right from wrong.
        frames = [tuple(picture[y, x]) for y in numpy.arange(2) * (picture.shape[0] - 12) // 2 + 12
                  for x in numpy.arange(6) * (picture.shape[1] - 12) // 6 + 12]
        assert len(frames) == 12 and set(frames) <= {(0, 140, 60), (214, 20, 30)}, (tag, step, frames)


def test_curves_add_up_to_the_samples(straight):
    last = [line for line in metrics(straight) if line["group"] == "val"][-1]
    reader = event_reader(straight)
    tags = [tag for tag in reader.Tags()["tensors"] if tag.startswith("pr_curve/")]
    assert len(tags) == 1 + CLASSES
    curves = {}
    for tag in tags:
        event = reader.Tensors(tag)[-1]
        assert event.step == last["step"]
        curves[tag] = numpy.array(event.tensor_proto.float_val).reshape(6, -1)
        samples = last["samples"] * (CLASSES if tag.endswith("micro-average") else 1)
        assert (curves[tag][:4].sum(axis=0) == samples).all()
        assert (numpy.diff(curves[tag][:2]) <= 0).all()
    every = curves.pop("pr_curve/micro-average")
    assert every[0, 0] == last["samples"] and every[1, 0] == last["samples"] * (CLASSES - 1)
    assert (sum(curves.values())[:4] == every[:4]).all()


def test_histograms_are_those_of_the_checkpoint(straight):
    [checkpoint] = [path for path in (straight / "checkpoints").iterdir() if "00000014" in path.name]
    weights = load_file(checkpoint)
    reader = event_reader(straight)
    tags = [tag.removeprefix("weights/") for tag in reader.Tags()["histograms"] if tag.startswith("weights/")]
    assert len(tags) == 62  # parameters of a ResNet-18
    assert sorted(f"grads/{tag}" for tag in tags) == sorted(
        tag for tag in reader.Tags()["histograms"] if tag.startswith("grads/"))
    for tag in tags:
        event = reader.Histograms(f"weights/{tag}")[-1]
        values, seen = weights[tag.replace("/", ".")].astype(numpy.float64).ravel(), event.histogram_value
        assert event.step == 14
        assert (seen.min, seen.max, seen.num) == (values.min(), values.max(), values.size)
        assert seen.sum == pytest.approx(values.sum(), abs=1e-9 * values.size)
        assert seen.sum_squares == pytest.approx((values ** 2).sum(), rel=1e-9)
        below = numpy.searchsorted(numpy.sort(values), seen.bucket_limit, side="right")
        assert numpy.cumsum(seen.bucket).tolist() == below.tolist()


def test_what_is_not_wanted_is_not_there(millrace, recipe, dataset):
    millrace.done("train", recipe, "--data", dataset, "--out", "run", "--set", "tracking.pictures=0", "--set",
                  "tracking.histograms=false")
    tags = event_reader(millrace.folder / "run").Tags()
    assert (tags["images"], tags["histograms"]) == ([], [])


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_run_that_was_ended_and_goes_on_has_every_point_once(millrace, recipe, dataset, straight, sign):
    arguments = ["train", recipe, "--data", dataset, "--out", "run", "--resume", "auto"]
    run = millrace.folder / "run"
    with (millrace.folder / "stderr").open("wb") as stderr:
        process = millrace.start(*arguments, stderr=stderr)
    deadline = time.monotonic() + TIME_LIMIT_S
    while process.poll() is None and not ((run / "metrics.jsonl").is_file() and len(metrics(run)) >= 6):
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    process.send_signal(sign)
    assert process.wait(TIME_LIMIT_S) == (-sign if sign == signal.SIGKILL else 3)
    millrace.done(*arguments)
    results = {tag: points for tag, points in expected(straight).items() if not tag.startswith(("training/", "system/"))}
    results["training/supervised batch loss"] = expected(straight)["training/supervised batch loss"]
    points = read(run)
    assert {tag: points[tag] for tag in results} == results
    assert hparams(run, "session_end_info").session_end_info.status == 1


def test_run_that_goes_back_to_an_earlier_checkpoint_has_every_point_once(millrace, recipe, dataset, straight):
    run = copy_run(straight, millrace.folder / "run")
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    newest.unlink()
    millrace.done("train", recipe, "--data", dataset, "--out", run, "--resume", "auto")
    points, wanted = read(run), expected(straight)
    for tag in ["training/supervised batch loss", "lr/group_0", "validation/Accuracy"]:
        assert points[tag] == wanted[tag]
    # Timings of the steps that were done twice are those of the second time.
    for tag in ["training/Throughput", "system/cpu_utilization_percentage"]:
        steps = [step for step, _ in points[tag]]
        assert steps == sorted(set(steps))


def test_run_that_fails_says_so(millrace, recipe, dataset):
    millrace.refuses(1, "train", recipe, "--data", dataset, "--out", "run", "--set", "optimizer.lr=1e30",
                     says="the training has diverged")
    assert hparams(millrace.folder / "run", "session_end_info").session_end_info.status == 2  # failure
