"""profile as its users meet it."""

import json

import pytest
from page import Page
from support import TINY_RECIPE, untouched

PICTURE = 224 * 224 * 3  # bytes
FILES = ["profile.html", "profile.json", "trace.json"]


@pytest.fixture
def tiny(tmp_path):
    """A file with support.TINY_RECIPE."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_RECIPE)
    return path


def test_profile_measures_three_ways_and_touches_no_data(millrace, dataset, tiny):
    with untouched(dataset):
        told = millrace.done("profile", tiny, "--data", dataset, "--seconds", "0.3", "--json").json()
    assert told["train_step"] == "real"
    for name in ("with_train_step", "feed_alone", "train_step_alone"):
        assert told[name]["images_per_s"] > 0, name
        assert told[name]["seconds"] >= 0.25, name
        assert told[name]["stages"]["train_step"]["calls"] >= 4, name
    assert told["verdict"]["sentence"].startswith(told["verdict"]["limit"] + "-bound: ")
    folder = millrace.folder / "profiles" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert json.loads((folder / "profile.json").read_text()) == told
    assert not (millrace.folder / "runs").exists()


def test_table_page_and_trace_tell_the_same(millrace, dataset, tiny):
    out = millrace.done("profile", tiny, "--data", dataset, "--seconds", "0.3", "--out", "p").out
    told = json.loads((millrace.folder / "p/profile.json").read_text())
    for text in [told["verdict"]["sentence"], told["verdict"]["advice"], "p/profile.html", "p/trace.json"]:
        assert text in out
    assert told["verdict"]["sentence"] in Page(millrace.folder / "p/profile.html").source
    events = json.loads((millrace.folder / "p/trace.json").read_text())["traceEvents"]
    names = {event["name"] for event in events if event["ph"] == "X"}
    assert names == set(told["with_train_step"]["stages"])
    threads = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert "lane 0" in threads and "worker 0" in threads


def test_feed_alone_measures_no_train_step(millrace, dataset, tiny):
    told = millrace.done("profile", tiny, "--data", dataset, "--seconds", "0.3", "--stages", "feed", "--json").json()
    assert told["train_step"] == "none"
    assert "with_train_step" not in told and "train_step_alone" not in told


def feed_memory(millrace, dataset, recipe, slots, batch):
    """Bytes of memory beyond the page cache of the feed at 224 pixels, without the device's."""
    told = millrace.done("profile", recipe, "--data", dataset, "--seconds", "0.2", "--stages", "feed", "--json",
                         "--set", "data.train.ops=[{op='random_resized_crop', size=224}]",
                         "--set", f"batch.per_device={batch}", "--set", f"pipeline.slots={slots}").json()["feed_alone"]
    assert told["slots"] == slots
    memory = told["resident_bytes"]
    assert memory["files"] > 50 << 20  # the text of LibTorch alone
    assert memory["slots"] == slots * batch * PICTURE
    # The device, which is the CPU here, has one batch of floats.
    assert memory["lanes"] == 4 * batch * PICTURE
    return memory["anonymous"] + memory["shared"] - memory["lanes"]


@pytest.mark.parametrize("batch", [40, 120])
def test_memory_of_the_feed_is_that_of_its_slots(millrace, dataset, tiny, batch):
    few, many = (feed_memory(millrace, dataset, tiny, slots, batch) for slots in (4, 14))
    for memory, slots in (few, 4), (many, 14):
        assert slots * batch * PICTURE <= memory <= slots * batch * PICTURE + 150e6
    # Nothing else comes with a slot.
    assert many - few <= 10 * batch * PICTURE + 20e6


def test_emulated_device_is_the_limit_when_it_is_slow(millrace, dataset, tiny):
    told = millrace.done("profile", tiny, "--data", dataset, "--seconds", "1", "--emulate-step-ms", "50", "--devices",
                         "cpu:2", "--json").json()
    assert (told["train_step"], told["emulated_step_ms"], told["lanes"]) == ("emulated", 50, 2)
    assert told["verdict"]["limit"] == "train_step"
    # Two devices that take 8 pictures each 50 ms.
    assert told["with_train_step"]["images_per_s"] <= 2 * 8 / 0.05 * 1.01
    assert 0.8 <= told["device_utilisation"] <= 1.01


def test_emulated_device_that_is_too_fast_waits_for_the_feed(millrace, dataset, recipe):
    told = millrace.done("profile", recipe, "--data", dataset, "--seconds", "0.5", "--emulate-step-ms", "0.01", "--set",
                         "pipeline.workers=1", "--json").json()
    assert told["verdict"]["limit"] in ("read", "decode", "augment")
    assert told["verdict"]["sentence"].startswith(told["verdict"]["limit"] + "-bound: ")


@pytest.mark.parametrize("arguments, says", [
    (["--stages", "some"], ["--stages"]),
    (["--emulate-step-ms", "0"], ["--emulate-step-ms"]),
    (["--emulate-step-ms", "5", "--stages", "all"], ["--emulate-step-ms", "--stages"]),
    (["--seconds", "-1"], ["--seconds"]),
    (["--devices", "gpu"], ["--devices gpu: write cpu or cpu:N"]),
    (["--set", "batch.per_device=1000"], ["120", "1000"]),
    (["--set", "model.classes=7"], ["model.classes"]),
    (["--set", "optimizer.momentumm=7"], ["optimizer.momentumm"]),
])
def test_mistakes_are_named_before_anything_is_written(millrace, dataset, tiny, arguments, says):
    millrace.refuses(2, "profile", tiny, "--data", dataset, *arguments, says=says)
    assert not (millrace.folder / "profiles").exists()


def test_missing_dataset_is_named(millrace, tiny):
    millrace.refuses(1, "profile", tiny, "--data", "nowhere", says=["nowhere is not a dataset", "manifest.json"])
    millrace.refuses(2, "profile", tiny, says=["no dataset", "--data"])


def test_file_in_the_place_of_the_folder_is_named(millrace, dataset, tiny):
    (millrace.folder / "p").write_text("mine")
    with untouched(millrace.folder / "p"):
        millrace.refuses(1, "profile", tiny, "--data", dataset, "--seconds", "0.1", "--out", "p", says="p")
