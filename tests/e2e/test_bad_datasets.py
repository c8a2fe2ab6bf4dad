"""Datasets that are not what their manifest says."""

import json
import os
import random
import re
import shutil
import time

import pytest
from support import TIME_LIMIT_S, TINY_RECIPE, metrics, untouched


@pytest.fixture
def train(millrace, tiny_recipe, own_dataset):
    """A function that trains on `own_dataset`, which must fail and say these texts."""

    def refuse(code, says):
        with untouched(own_dataset):
            millrace.refuses(code, "train", tiny_recipe, "--data", own_dataset, "--out", "run", says=says)
        assert not (millrace.folder / "run").exists()

    return refuse


def edit_manifest(dataset, change):
    manifest = json.loads((dataset / "manifest.json").read_text())
    change(manifest)
    (dataset / "manifest.json").write_text(json.dumps(manifest))


def test_folder_without_manifest_is_refused(millrace, tiny_recipe, pictures):
    for command in (["train", tiny_recipe, "--data"], ["verify"], ["inspect"]):
        millrace.refuses(1, *command, pictures, says=[f"{pictures} is not a dataset", "millrace convert"])


def test_dataset_missing_is_refused(train, own_dataset):
    shutil.rmtree(own_dataset)
    train(1, [f"{own_dataset} is not a dataset", "millrace convert"])


def test_newer_format_asks_for_a_newer_program(train, own_dataset):
    edit_manifest(own_dataset, lambda manifest: manifest.update(format_version=2, fingerprint="of another kind"))
    train(1, [f"{own_dataset}/manifest.json: format_version is 2", "reads version 1", "use a newer millrace"])


def test_older_format_asks_for_conversion(train, own_dataset):
    edit_manifest(own_dataset, lambda manifest: manifest.update(format_version=0))
    train(1, ["format_version is 0", "reads version 1", "convert again"])


@pytest.mark.parametrize(("change", "says"), [
    (lambda manifest: manifest.update(format_version="1"), "format_version is not a whole number"),
    (lambda manifest: manifest.update(format="another"), 'format is not "millrace dataset"'),
    (lambda manifest: manifest.pop("classes"), 'lacks the key "classes"'),
    (lambda manifest: manifest["splits"]["train"].update(records=7), "splits.train.records is 7"),
    (lambda manifest: manifest["splits"]["train"]["shards"][0].update(file="../evil"), "is not a file name"),
    (lambda manifest: manifest["splits"]["train"].update(fingerprint="0" * 16), "fingerprint"),
])
def test_manifest_edited_is_refused_with_the_key(train, own_dataset, change, says):
    edit_manifest(own_dataset, change)
    train(1, [f"{own_dataset}/manifest.json", says, "restore the file or convert again"])


def test_manifest_cut_is_refused(train, own_dataset):
    text = (own_dataset / "manifest.json").read_text()
    (own_dataset / "manifest.json").write_text(text[: len(text) // 2])
    train(1, [f"{own_dataset}/manifest.json is not valid JSON", "restore the file or convert again"])


def test_shard_missing_is_refused_by_name(train, millrace, own_dataset):
    name = "train-00001-of-00003.lmdb"
    (own_dataset / name).unlink()
    train(1, [f"{own_dataset}/{name}", "manifest.json", "restore the file or convert again"])
    found = millrace("verify", own_dataset)
    assert found.code == 1
    assert f"{name}: cannot open {own_dataset}/{name}" in found.out
    assert "1 problem" in found.out


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_shard_cut_is_refused_by_name(train, millrace, own_dataset, share):
    shard = own_dataset / "train-00002-of-00003.lmdb"
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * share)])
    train(1, [str(shard), f"manifest.json says {len(content)}", "restore the file or convert again"])
    found = millrace("verify", own_dataset)
    assert found.code == 1 and shard.name in found.out


def test_shard_cut_while_a_run_reads_it_ends_the_run_with_a_sentence(millrace, recipe, own_dataset):
    process = millrace.start("train", recipe, "--data", own_dataset, "--out", "run", "--set", "train.epochs=10000")
    deadline = time.monotonic() + TIME_LIMIT_S
    while not (millrace.folder / "run/metrics.jsonl").exists() or not metrics(millrace.folder / "run"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    for shard in own_dataset.glob("train-*.lmdb"):
        os.truncate(shard, 0)
    _, err = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 1, err
    assert b"millrace: a file of the dataset was cut short" in err
    assert b"`millrace verify`" in err


def test_shard_exchanged_for_another_is_found_by_verify(millrace, own_dataset):
    first, second = (own_dataset / f"train-0000{index}-of-00003.lmdb" for index in range(2))
    if first.stat().st_size != second.stat().st_size:
        pytest.fail("the shards of this test must have one size")
    shutil.copy(first, second)
    found = millrace("verify", own_dataset)
    assert found.code == 1
    assert f"{second.name}: has the hash" in found.out


def test_split_unknown_is_refused_with_those_that_are_there(train, millrace, tiny_recipe):
    tiny_recipe.write_text(TINY_RECIPE.replace("[data.train]", '[data.train]\nsplit = "trian"'))
    train(2, ['data.train.split: is "trian"', "does not have (it has: train, val)"])


def flip(path, position, bit):
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))


def test_any_flipped_bit_is_found_by_verify(millrace, own_dataset):
    draw = random.Random(11)
    shards = sorted(own_dataset.glob("*.lmdb"))
    for _ in range(10):
        damage = {shard: (draw.randrange(shard.stat().st_size), draw.randrange(8)) for shard in shards}
        for shard, (position, bit) in damage.items():
            flip(shard, position, bit)
        found = millrace("verify", own_dataset, "--json")
        assert found.code == 1, f"{damage}: {found.code}\n{found.err}"
        for shard in shards:
            assert any(problem["where"].startswith(shard.name) for problem in found.json()["problems"]), damage
        for shard, (position, bit) in damage.items():
            flip(shard, position, bit)
    millrace.done("verify", own_dataset)


def test_any_flipped_bit_is_named_by_train_or_harms_nothing(millrace, tiny_recipe, own_dataset):
    # One step over all records: whatever is damaged and needed is met.
    arguments = ["train", tiny_recipe, "--data", own_dataset, "--set", "batch.per_device=120"]
    millrace.done(*arguments, "--out", "clean")
    clean = (millrace.folder / "clean/metrics.jsonl").read_bytes()
    draw = random.Random(12)
    shards = sorted(own_dataset.glob("train-*.lmdb"))
    refused = 0
    for attempt in range(10):
        shard = draw.choice(shards)
        position, bit = draw.randrange(shard.stat().st_size), draw.randrange(8)
        flip(shard, position, bit)
        what = f"{shard.name}, byte {position}, bit {bit}"
        run = millrace.folder / f"run{attempt}"
        result = millrace(*arguments, "--out", run)
        flip(shard, position, bit)
        if result.code == 0:
            assert (run / "metrics.jsonl").read_bytes() == clean, what
            continue
        refused += 1
        assert result.code == 1, f"{what}: {result.code}\n{result.err}"
        message = result.message()
        assert shard.name in message, f"{what}: {message}"
        assert re.search(r"key \d+|page \d+", message), f"{what}: {message}"
        assert not list(run.glob("checkpoints/*")), what
    assert refused >= 3, "hardly any flip was noticed: the test does not reach what it should"


def test_label_beyond_the_classes_is_refused(millrace, tiny_recipe, own_dataset):
    # A record cannot be changed without its hash telling; a manifest that lost a class can.
    def drop_class(manifest):
        manifest["classes"].pop()

    edit_manifest(own_dataset, drop_class)
    message = millrace.refuses(1, "train", tiny_recipe, "--data", own_dataset, "--out", "run",
                               says=["label 2 is outside the 2 classes of manifest.json", ".lmdb"])
    assert re.search(r"train-0000\d-of-00003.lmdb, key \d+", message)
    found = millrace("verify", own_dataset)
    assert found.code == 1
    assert "label 2 is outside the 2 classes" in found.out
