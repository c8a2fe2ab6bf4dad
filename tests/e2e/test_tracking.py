"""What a run leaves for TensorBoard, by its own reader, against metrics.jsonl and timings.jsonl."""

import json
import signal
import time

import numpy
import pytest
from support import TIME_LIMIT_S, copy_run, metrics
from tensorboard.backend.event_processing import event_accumulator
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
            else:
                tag = "validation/" + ("loss" if name == "loss" else NAMES.get(name, name))
            points.setdefault(tag, []).append((step if group == "train" else epoch, float(numpy.float32(value))))
    return points


def accumulated(run):
    reader = event_accumulator.EventAccumulator(str(run), size_guidance=dict.fromkeys(
        event_accumulator.DEFAULT_SIZE_GUIDANCE, 0))
    reader.Reload()
    return reader


def read(run):
    reader = accumulated(run)
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def hparams(run, tag):
    content = accumulated(run).SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_reader_finds_every_number_of_the_run(straight):
    points = read(straight)
    assert points == expected(straight)
    assert len(points["training/supervised batch loss"]) == 14
    assert [epoch for epoch, _ in points["validation/Accuracy"]] == [1, 2]
    session = hparams(straight, "session_start_info").session_start_info.hparams
    assert session["optimizer.lr"].number_value == 0.003
    assert session["model.name"].string_value == "resnet18"
    assert session["data.train.split"].string_value == "train"
    assert hparams(straight, "session_end_info").session_end_info.status == 1  # success


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
    results = {tag: points for tag, points in expected(straight).items() if not tag.startswith("training/")}
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
    steps = [step for step, _ in points["training/Throughput"]]
    assert steps == sorted(set(steps))


def test_run_that_fails_says_so(millrace, recipe, dataset):
    millrace.refuses(1, "train", recipe, "--data", dataset, "--out", "run", "--set", "optimizer.lr=1e30",
                     says="the training has diverged")
    assert hparams(millrace.folder / "run", "session_end_info").session_end_info.status == 2  # failure
