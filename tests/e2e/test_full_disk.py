"""Disks that fill up: a sentence, exit code 1, and nothing lost."""

import contextlib
import os
import shutil

import numpy
import pytest
from PIL import Image
from support import checkpoints, same_runs, untouched

FULL = ("No space left on device", "File too large")  # a full disk; the limit that stands in for it without root


def assert_full(message, *names):
    assert any(reason in message for reason in FULL), message
    for name in names:
        assert name in message, message


def test_convert_on_a_full_disk_fails_and_keeps_the_other_splits(millrace, pictures, small_disk, tmp_path):
    random = numpy.random.default_rng(6)
    for name in ("class0", "class1"):
        (tmp_path / "large" / name).mkdir(parents=True)
        for number in range(20):
            noise = Image.fromarray(random.integers(0, 256, (160, 160, 3), dtype=numpy.uint8))
            noise.save(tmp_path / "large" / name / f"{number}.jpg", quality=95)
    disk, limit = small_disk(1)
    data = disk / "data"
    millrace.done("convert", "--from", pictures / "val", "--to", data, "--split", "val")
    kept = [data / "manifest.json", *data.glob("val-*")]
    command = ["convert", "--from", "large", "--to", data, "--shards", "4", "--jobs", "2"]
    with untouched(*kept):
        message = millrace.refuses(1, *command, says=str(data), preexec_fn=limit)
    assert_full(message, ".spool")
    assert not list(data.glob("*.tmp"))
    millrace.done("verify", data)
    # With room enough the same command gives what it gives on an empty disk.
    moved = shutil.copytree(data, tmp_path / "moved")
    millrace.done("convert", "--from", "large", "--to", moved, "--shards", "4")
    millrace.done("convert", "--from", pictures / "val", "--to", "whole", "--split", "val")
    millrace.done("convert", "--from", "large", "--to", "whole", "--shards", "4")
    assert (moved / "manifest.json").read_bytes() == (tmp_path / "whole/manifest.json").read_bytes()
    millrace.done("verify", moved)


def test_train_without_room_for_a_checkpoint_fails_and_goes_on_elsewhere(millrace, recipe, dataset, straight, small_disk):
    # A checkpoint has 90 MB: the first one fits, the second does not.
    size = checkpoints(straight)[0].stat().st_size
    disk, limit = small_disk(size * 3 // 2 >> 20 if os.geteuid() == 0 else size // 2 >> 20)
    run = disk / "run"
    message = millrace.refuses(1, "train", recipe, "--data", dataset, "--out", run, says=f"cannot write {run}/",
                               preexec_fn=limit)
    assert_full(message)
    assert not list(run.rglob("*.tmp"))
    if limit is None:
        assert [path.name for path in checkpoints(run)] == ["step-00000004.safetensors"]
    shutil.copytree(run, millrace.folder / "moved")
    millrace.done("train", recipe, "--data", dataset, "--out", "moved", "--resume", "auto")
    same_runs(straight, millrace.folder / "moved")


def test_export_without_room_fails_and_keeps_what_was_there(millrace, straight, small_disk):
    disk, limit = small_disk(1)
    (disk / "weights.safetensors").write_text("precious")
    with untouched(disk):
        message = millrace.refuses(1, "export", straight, "--to", disk / "weights.safetensors", says=str(disk),
                                   preexec_fn=limit)
    assert_full(message, "weights.safetensors")


def test_folder_that_cannot_be_written_is_refused_before_the_first_step(millrace, recipe, dataset):
    (millrace.folder / "file").write_text("hello")
    with untouched(millrace.folder):
        message = millrace.refuses(1, "train", recipe, "--data", dataset, "--out", "file/run",
                                   says="cannot create the folder file/run")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("kibibytes", [0, 8, 20, 24])
def test_train_on_a_disk_full_of_other_things_says_so(millrace, tiny_recipe, dataset, small_disk, kibibytes):
    disk, limit = small_disk(1)
    if limit is not None:
        pytest.skip("a limit on the size of files does not fill a disk; this needs root")
    block = b"x" * 1024
    with (disk / "filler").open("wb", buffering=0) as filler:
        with contextlib.suppress(OSError):
            while True:
                filler.write(block)
        filler.truncate(filler.tell() - (kibibytes << 10))
    message = millrace.refuses(1, "train", tiny_recipe, "--data", dataset, "--out", disk / "run", says=f"{disk}/run")
    assert_full(message)
    assert len(message.splitlines()) == 1
