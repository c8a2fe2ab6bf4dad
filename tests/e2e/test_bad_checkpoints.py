"""Checkpoints, weights and run folders that do not belong to what is asked for."""

import os
import re
import time

import pytest
from support import RECIPE, TIME_LIMIT_S, checkpoints, copy_run, same_runs, same_tensors, untouched, write_pictures


@pytest.fixture
def run(straight, tmp_path):
    """A copy of a finished run, in which the tests go on."""
    return copy_run(straight, tmp_path / "run")


@pytest.fixture
def resume_refused(millrace, recipe, dataset, run):
    """A function that resumes `run` with these arguments, which must fail with these texts and touch nothing."""

    def refuse(*arguments, says, code=1, data=dataset):
        with untouched(run):
            return millrace.refuses(code, "train", "recipe.toml", "--data", data, "--out", "run", *arguments, says=says)

    return refuse


def test_folder_with_a_run_is_not_written_over(resume_refused):
    resume_refused(code=2, says=["run already holds a run", "--resume auto", "--out"])


@pytest.mark.parametrize(("setting", "says"), [
    ("model.name=resnet34", ["a checkpoint of resnet18", "the recipe trains resnet34"]),
    ("seed=7", ["with seed 0", "the recipe says 7"]),
    ("batch.per_device=8", ["global batch of 16", "give 8", "batch.global = 16"]),
    ("optimizer.momentum=0", ["momentum"]),
])
def test_checkpoint_of_another_recipe_is_refused(resume_refused, setting, says):
    resume_refused("--resume", "auto", "--set", setting, says=["run/checkpoints/step-00000014.safetensors", *says])


def test_checkpoint_of_other_pictures_is_refused(millrace, resume_refused, tmp_path):
    write_pictures(tmp_path / "others", 6, seed=9)
    for split in ("train", "val"):
        millrace.done("convert", "--from", "others", "--to", "other", "--split", split)
    resume_refused("--resume", "auto", data="other", says=["step-00000014.safetensors", "fingerprint", "it was trained on"])


def test_checkpoint_of_other_classes_is_refused(millrace, resume_refused, tmp_path):
    write_pictures(tmp_path / "others", 4, seed=9, names=["a", "b", "c", "d"])
    for split in ("train", "val"):
        millrace.done("convert", "--from", "others", "--to", "other", "--split", split)
    resume_refused("--resume", "auto", data="other", says=["step-00000014.safetensors", "for 3 classes", "the dataset has 4"])


@pytest.mark.parametrize(("file", "says"), [
    ("none.safetensors", "none.safetensors"),
    ("recipe.toml", "recipe.toml: not a safetensors file"),
    ("run", "write --out run --resume auto"),
])
def test_resume_from_what_is_no_checkpoint_is_refused(resume_refused, file, says):
    resume_refused("--resume", file, code=2 if file == "run" else 1, says=says)


def test_resume_from_weights_is_refused(resume_refused, run):
    best = next((run / "best").iterdir())
    resume_refused("--resume", best, says=[best.name, "not a checkpoint"])


def replace(path, content):
    path.unlink()  # other runs have a link to it
    path.write_bytes(content)


def tear(path):
    replace(path, path.read_bytes()[: path.stat().st_size // 3])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    replace(path, content)


@pytest.mark.parametrize(("damage", "reason"), [(tear, "the file is cut"), (flip, "damaged")])
def test_newest_checkpoint_damaged_falls_back_to_the_one_before(millrace, recipe, dataset, straight, run, damage, reason):
    assert len(checkpoints(run)) == 2
    damage(checkpoints(run)[-1])
    result = millrace.done("train", "recipe.toml", "--data", dataset, "--out", "run", "--resume", "auto")
    assert re.search(rf"passed over a checkpoint: run/checkpoints/step-00000014.safetensors: {reason}", result.err)
    assert "resuming from run/checkpoints/step-00000012.safetensors at step 12" in result.err
    same_runs(straight, run)


def test_all_checkpoints_damaged_start_nothing_anew(millrace, resume_refused, run):
    for path in checkpoints(run):
        tear(path)
    resume_refused("--resume", "auto", says=["no usable checkpoint in run/checkpoints", "remove the folder"])
    millrace.refuses(1, "export", "run", "--to", "weights.safetensors",
                     says=["no usable checkpoint in run/checkpoints", "step-00000014.safetensors: the file is cut"])


def test_checkpoint_damaged_and_named_is_refused(resume_refused, run):
    flip(checkpoints(run)[-1])
    resume_refused("--resume", checkpoints(run)[-1], says=["step-00000014.safetensors", "damaged"])


def test_metrics_cut_below_the_checkpoint_are_refused(millrace, recipe, dataset, run):
    checkpoints(run)[-1].unlink()
    (run / "metrics.jsonl").write_text("")
    millrace.refuses(1, "train", "recipe.toml", "--data", dataset, "--out", "run", "--resume", "auto",
                     says=["run/metrics.jsonl has 0 bytes", "the file was cut", "start a new run folder"])


def test_resume_from_a_named_older_checkpoint_gives_the_same_end(millrace, recipe, dataset, straight, run):
    older, newer = checkpoints(run)
    content = newer.read_bytes()
    result = millrace.done("train", "recipe.toml", "--data", dataset, "--out", "run", "--resume", older)
    kept = newer.with_name(f"superseded-{newer.name}")
    assert f"the checkpoint of a later step is kept as {kept.relative_to(millrace.folder)}" in result.err
    assert kept.read_bytes() == content
    same_runs(straight, run)


def test_resume_with_other_settings_says_which(millrace, recipe, dataset, run):
    result = millrace.done("train", "recipe.toml", "--data", dataset, "--out", "run", "--resume", checkpoints(run)[0],
                           "--set", "optimizer.lr=0.001", "--set", "checkpoint.keep=1")
    assert "resuming with another setting: optimizer.lr: 0.003 before, 0.001 now" in result.err
    assert "resuming with another setting: checkpoint.keep: 2 before, 1 now" in result.err
    assert result.err.count("resuming with another setting") == 2


def test_resume_on_another_number_of_threads_says_what_it_means(millrace, dataset, recipe):
    one_core = lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # noqa: E731
    arguments = ["train", recipe, "--data", dataset, "--out", "run", "--resume", "auto"]
    first = millrace.done(*arguments, "--set", "train.max_steps=1", preexec_fn=one_core)
    assert "compute threads instead of" not in first.err
    again = millrace.done(*arguments, "--set", "train.max_steps=2", preexec_fn=one_core)
    assert "compute threads instead of" not in again.err
    if len(os.sched_getaffinity(0)) > 1:
        other = millrace.done(*arguments, "--set", "train.max_steps=3")
        assert "compute threads instead of 1 x 1 compute threads: sums are taken in another order" in other.err


def test_second_run_in_a_folder_is_refused(millrace, recipe, dataset):
    arguments = ["train", recipe, "--data", dataset, "--out", "run", "--resume", "auto", "--set", "train.epochs=10000"]
    first = millrace.start(*arguments)
    try:
        deadline = time.monotonic() + TIME_LIMIT_S
        while not (millrace.folder / "run/config.toml").exists():
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        millrace.refuses(1, *arguments, says=["another run is writing into run", "choose another folder"])
    finally:
        first.kill()
        first.communicate()


def test_resume_from_elsewhere_goes_on_in_a_fresh_folder(millrace, recipe, dataset, straight):
    source = checkpoints(straight)[0]
    with untouched(straight):
        millrace.done("train", "recipe.toml", "--data", dataset, "--out", "fresh", "--resume", source)
    fresh = millrace.folder / "fresh"
    lines = (straight / "metrics.jsonl").read_text().splitlines()
    behind = [line for line in lines if re.search(r'"step":1[34]\b', line)]
    assert (fresh / "metrics.jsonl").read_text().splitlines() == behind
    same_tensors(checkpoints(straight)[-1], checkpoints(fresh)[-1])


def test_resume_from_elsewhere_does_not_write_over_a_run(resume_refused, straight):
    resume_refused("--resume", checkpoints(straight)[0], code=2, says=["run already holds a run", "--out"])


def test_resume_of_a_finished_run_changes_nothing(millrace, recipe, dataset, run):
    for arguments in ([], ["--set", "optimizer.lr=0.5"]):
        with untouched(*(path for path in run.iterdir() if path.name != "log.txt")):
            result = millrace.done("train", "recipe.toml", "--data", dataset, "--out", "run", "--resume", "auto", *arguments)
        assert "nothing to do: all 14 steps are done" in result.err


def test_resume_auto_without_a_checkpoint_starts_and_says_so(millrace, recipe, dataset):
    result = millrace.done("train", "recipe.toml", "--data", dataset, "--out", "run", "--resume", "auto",
                           "--set", "train.max_steps=1")
    assert "no checkpoint in run/checkpoints: starting from the beginning" in result.err


@pytest.mark.parametrize("command", [["eval", "recipe.toml", "--weights"], ["export", "--to", "out.safetensors"]])
@pytest.mark.parametrize(("name", "content", "says"), [
    ("none", None, "cannot open none"),
    ("empty", b"", "empty: not a safetensors file"),
    ("text", b"not at all what it should be", "text: not a safetensors file"),
    ("folder", "folder", "folder"),
])
def test_weights_that_are_none_are_refused(millrace, recipe, dataset, command, name, content, says):
    if content == "folder":
        (millrace.folder / name).mkdir()
    elif content is not None:
        (millrace.folder / name).write_bytes(content)
    data = ["--data", dataset] if command[0] == "eval" else []
    with untouched(millrace.folder):
        millrace.refuses(1, *command, name, *data, says=says)


def test_weights_of_another_network_are_refused(millrace, recipe, dataset, straight):
    weights = checkpoints(straight)[-1]
    millrace.refuses(1, "eval", recipe, "--data", dataset, "--weights", weights, "--set", "model.name=resnet50",
                     says=[weights.name, "the weights do not fit", "resnet18", "resnet50"])


def test_weights_for_other_classes_are_refused(millrace, recipe, tmp_path, straight):
    write_pictures(tmp_path / "others", 3, seed=9, names=["a", "b", "c", "d"])
    millrace.done("convert", "--from", "others", "--to", "other", "--split", "val")
    recipe.write_text(RECIPE.replace("[data.train]", '[data.train]\nsplit = "val"'))
    millrace.refuses(1, "eval", recipe, "--data", "other", "--weights", checkpoints(straight)[-1],
                     says=["the weights do not fit", "3 classes", "4"])
