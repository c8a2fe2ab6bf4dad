"""data.local_copy: the same run from copies, whatever happens to these."""

import json
import signal
import time

import pytest
import support
from support import TIME_LIMIT_S, same_runs, untouched


def files(folder):
    """The files below a folder, by name."""
    return {path.name: path for path in folder.rglob("*") if path.is_file()}


def assert_whole_copies(dataset, local):
    """Every shard of the dataset is there, byte for byte, and nothing else."""
    shards = {path.name: path for path in dataset.glob("*.lmdb")}
    copies = files(local)
    assert copies.keys() == shards.keys()
    for name, path in copies.items():
        assert path.read_bytes() == shards[name].read_bytes(), name


@pytest.fixture(scope="module")
def large_dataset(path, tmp_path_factory):
    """One whose shards take their time to be copied: 2 of 48 MB. Not to be changed."""
    folder = tmp_path_factory.mktemp("large")
    program = support.Program(path, folder)
    program.done("synth", "--to", "pictures", "--images", 900, "--classes", 3)
    program.done("convert", "--from", "pictures", "--to", "data", "--shards", 2)
    return folder / "data"


@pytest.fixture
def reading(millrace, tiny_recipe, large_dataset):
    """A command that trains on large_dataset with copies in local/."""
    return ["train", tiny_recipe, "--data", large_dataset, "--set", "data.local_copy=local"]


def test_run_with_copies_equals_the_run_without(millrace, recipe, dataset, straight):
    command = ["train", recipe, "--data", dataset, "--set", "data.local_copy=local"]
    with untouched(dataset):
        first = millrace.done(*command, "--out", "first")
        assert_whole_copies(dataset, millrace.folder / "local")
        second = millrace.done(*command, "--out", "second")
    assert "copying 3 of 3 shards of train" in first.err
    assert "every shard of train is read from its copy in local/train-" in first.err
    assert "copying" not in second.err
    assert "every shard of val is read from its copy in local/val-" in second.err
    for run in ("first", "second"):
        same_runs(straight, millrace.folder / run)
        assert "is read from its copy" in (millrace.folder / run / "log.txt").read_text()


def test_killed_amid_copying_starts_over_cleanly(millrace, reading, large_dataset):
    local = millrace.folder / "local"
    process = millrace.start(*reading, "--out", "killed")
    deadline = time.monotonic() + TIME_LIMIT_S
    while not (local.exists() and any(local.rglob("*.tmp"))):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(list(local.rglob("*.lmdb"))) < 2
    millrace.done(*reading, "--out", "next")
    assert_whole_copies(large_dataset, local)


def test_stopped_amid_copying_ends_with_its_checkpoint_and_no_half_copy(millrace, reading):
    local = millrace.folder / "local"
    process = millrace.start(*reading, "--out", "run")
    deadline = time.monotonic() + TIME_LIMIT_S
    while not (local.exists() and any(local.rglob("*.tmp"))):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.0005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 3, said
    assert not list(local.rglob("*.tmp"))


def test_two_runs_at_once_share_the_copies(millrace, tiny_recipe, large_dataset):
    command = ["train", tiny_recipe, "--data", large_dataset]
    millrace.done(*command, "--out", "without")
    processes = [millrace.start(*command, "--set", "data.local_copy=local", "--out", out) for out in ("a", "b")]
    said = [process.communicate(timeout=TIME_LIMIT_S)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert_whole_copies(large_dataset, millrace.folder / "local")
    for out in ("a", "b"):
        same_runs(millrace.folder / "without", millrace.folder / out)
    assert sum("copying 2 of 2 shards" in text for text in said) == 1, said


def test_damaged_shard_is_told_and_the_run_goes_on(millrace, recipe, own_dataset):
    # The run itself is sound: it reads no file's hash, only records'.
    manifest = json.loads((own_dataset / "manifest.json").read_text())
    manifest["splits"]["train"]["shards"][1]["hash"] = "0123456789abcdef"
    (own_dataset / "manifest.json").write_text(json.dumps(manifest))
    result = millrace.done("train", recipe, "--data", own_dataset, "--out", "run", "--set", "data.local_copy=local")
    assert result.err.count("a shard is not copied: ") == 1
    assert "is not what manifest.json says (its hash differs); run `millrace verify` on the dataset" in result.err


def test_disk_without_room_is_told_and_the_run_goes_on(millrace, recipe, dataset, straight, small_disk):
    disk, limit = small_disk(1)
    if limit is not None:
        pytest.skip("a limit on the size of files is no small disk; this needs root")
    result = millrace.done("train", recipe, "--data", dataset, "--out", "run", "--set", f"data.local_copy={disk}")
    for shards in ("the 3 shards of train", "the 1 shards of val"):
        lines = [line for line in result.err.splitlines() if shards in line]
        assert len(lines) == 1, result.err
        assert lines[0].startswith(f"nothing is copied to {disk}/")
        assert "1.0 GiB must stay free, but only 1.0 MiB are free; make room or choose another" in lines[0]
    assert not files(disk)
    same_runs(straight, millrace.folder / "run")


def test_folder_inside_the_dataset_is_refused_before_anything_is_touched(millrace, recipe, dataset):
    with untouched(millrace.folder, dataset):
        millrace.refuses(2, "train", recipe, "--data", dataset, "--set", f"data.local_copy={dataset}/copies",
                         says=["data.local_copy", "inside the dataset"])
