"""The command line itself: help, mistakes, recipes printed, and what a terminal shows."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from support import write_pictures
from terminal import on_a_terminal

VERBS = ["convert", "verify", "inspect", "synth", "train", "eval", "profile", "export", "config", "launch"]
CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.toml"))


def test_help_lists_all_verbs_and_first_steps(millrace):
    out = millrace.done("--help").out
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", out, re.MULTILINE), verb
    assert "millrace convert --from" in out


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_has_an_example_and_no_odd_characters(millrace, verb):
    out = millrace.done(verb, "--help").out
    assert re.search(rf"Examples?:\n  millrace {verb} ", out)
    assert all(character.isprintable() or character == "\n" for character in out)
    words = re.sub(r"\{([a-z-]+(,[a-z-]+)+|000\.\.127)\}", "", out.split("Example")[0])
    assert "{" not in words, "an option's type is not for people"


@pytest.mark.parametrize(("arguments", "says"), [
    (["trian"], ['no verb "trian"', 'did you mean "train"?']),
    (["frobnicate"], ['no verb "frobnicate"', "convert, verify, inspect"]),
    ([], ["say what to do", "millrace --help"]),
    (["train", "--resum", "auto", "x.toml"], ["train", '"--resum"', 'did you mean "--resume"?', "millrace train --help"]),
    (["train"], ["train", "CONFIG is required", "millrace train --help"]),
    (["convert", "--from", "x"], ["convert", "--to is required"]),
    (["convert", "--from", "x", "--to", "y", "--shards", "0"], ["--shards", "0", "1 to 4096"]),
    (["convert", "--from", "x", "--to", "y", "--jobs", "0"], ["--jobs", "0", "1 to 1024"]),
    (["convert", "--from", "x", "--to", "y", "--jobs", "many"], ["--jobs", "many"]),
    (["convert", "--from", "x", "--to", "y", "--seed", "-1"], ["--seed", "-1"]),
    (["convert", "--from", "x", "--to", "y", "--on-bad", "mend"], ["--on-bad", "mend", "{repair,skip,fail}"]),
    (["convert", "--to", "y"], ["--from is required", "millrace convert --help"]),
    (["convert", "--to", "y", "--from", "x", "--merge"], ["--merge", "takes no --from"]),
    (["convert", "--to", "y", "--from", "x", "--max-side", "9", "--resize-short", "9"], ["--max-side", "--resize-short"]),
    (["convert", "--to", "y", "--from", "x", "--worker", "3/3"], ["no worker 3 of 3", "counted from 0"]),
    (["convert", "--to", "y", "--from", "x", "--worker", "three"], ["--worker three", "3/16", "auto"]),
    (["convert", "--to", "y", "--from", "x", "--worker", "auto"], ["neither a Slurm job nor a Kubernetes", "I/N"]),
    (["convert", "--from", "x", "--to", "y", "--split", "a/b"], ['"a/b"', "letters, digits and _"]),
    (["inspect", "x", "--save", "y"], ["--save", "--sample"]),
    (["inspect", "x", "--grid", "y", "--sample", "1"], ["--grid", "--sample"]),
    (["inspect", "x", "--html", "y", "--json"], ["--html", "--json"]),
    (["inspect", "x", "--html", "y", "--sample", "1"], ["--html", "--sample"]),
    (["inspect", "x", "--classes", "--json"], ["--classes", "--json"]),
    (["eval", "x.toml"], ["eval", "--weights is required"]),
    (["config", "x.toml", "--set"], ["--set"]),
], ids=" ".join)
def test_command_line_wrong_is_refused_with_a_way_on(millrace, arguments, says):
    message = millrace.refuses(2, *arguments, says=says)
    assert len(message.splitlines()) == 1
    assert len(message) < 300, "too long to read"


def test_version_is_a_number_and_a_commit(millrace):
    assert re.fullmatch(r"\d+\.\d+\.\d+ \(\w+(-dirty)?\)\n", millrace.done("--version").out)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_recipes_of_the_tree_are_valid_and_resolve_to_themselves(millrace, config):
    first = millrace.done("config", config).out
    assert tomllib.loads(first)["name"] == config.stem
    (millrace.folder / "resolved.toml").write_text(first)
    assert millrace.done("config", "resolved.toml").out == first


def test_recipe_printed_shows_values_as_they_were_written(millrace, recipe):
    out = millrace.done("config", recipe, "--set", "optimizer.lr=0.1", "--set", "name=\"a 'b' \\\"c\\\" ü\"").out
    told = tomllib.loads(out)
    assert told["name"] == "a 'b' \"c\" ü"
    assert told["optimizer"] | {"name": "sgd", "lr": 0.1, "momentum": 0.9} == told["optimizer"]
    assert told["data"]["train"]["ops"][0] == {
        "op": "random_resized_crop", "size": 32, "scale": [0.5, 1.0], "ratio": [0.75, 4 / 3], "resize": "pillow"}
    assert "lr = 0.1\n" in out and "momentum = 0.9\n" in out
    (millrace.folder / "again.toml").write_text(out)
    assert millrace.done("config", "again.toml").out == out


def test_parents_give_way_to_their_children_and_to_set(millrace, recipe):
    (millrace.folder / "sub").mkdir()
    (millrace.folder / "sub/middle.toml").write_text('extends = "../recipe.toml"\n[optimizer]\nlr = 0.2\n[train]\nepochs = 7\n')
    (millrace.folder / "child.toml").write_text('extends = "sub/middle.toml"\n[optimizer]\nlr = 0.3\n')
    told = tomllib.loads(millrace.done("config", "child.toml", "--set", "seed=9").out)
    assert (told["optimizer"]["lr"], told["train"]["epochs"], told["seed"]) == (0.3, 7, 9)
    assert (told["name"], told["batch"]["per_device"]) == ("child", 16)
    assert "extends" not in told


def test_run_keeps_its_recipe_as_one_that_trains_again(millrace, straight):
    out = millrace.done("config", straight / "config.toml").out
    kept, again = tomllib.loads((straight / "config.toml").read_text()), tomllib.loads(out)
    assert kept["model"].pop("classes") == 3
    again["model"].pop("classes", None)
    assert kept == again


def test_json_is_all_there_is_on_stdout(millrace, recipe, dataset):
    told = millrace.done("train", recipe, "--data", dataset, "--out", "run", "--json", "--set", "train.max_steps=1").json()
    assert (told["step"], told["total_steps"], told["interrupted"]) == (1, 1, False)
    assert told["checkpoint"] == "run/checkpoints/step-00000001.safetensors"
    assert set(told["stages"]) >= {"read", "decode", "augment", "train_step"}
    environment = json.loads((millrace.folder / "run/environment.json").read_text())
    assert environment["dataset"] == str(dataset)


def plain(text):
    """Asserts that a log or a pipe gets lines of text and nothing else."""
    assert "\x1b" not in text and "\r" not in text
    assert text == "" or text.endswith("\n")


def test_without_a_terminal_there_are_only_lines(millrace, recipe, dataset, pictures, tmp_path):
    for arguments in (["convert", "--from", pictures / "val", "--to", "data"], ["verify", dataset],
                      ["train", recipe, "--data", dataset, "--out", "run", "--set", "train.max_steps=1"]):
        result = millrace.done(*arguments)
        plain(result.out)
        plain(result.err)
        assert "100%" in result.err
    plain((tmp_path / "run/log.txt").read_text())


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_progress_of_a_conversion_stays_in_one_line_of_the_terminal(millrace, tmp_path, columns):
    write_pictures(tmp_path / "many", 200, seed=7)
    screen = on_a_terminal(millrace, columns, "convert", "--from", "many", "--to", "data", "--shards", "20", "--jobs", "1")
    bars = [line for line in screen.lines if "convert train" in line]
    assert len(bars) == 1, screen.lines
    assert screen.lines[-1] == ""
    if columns >= 80:
        assert "100%" in bars[0] and "600 pictures" in bars[0]


def test_progress_of_a_training_leaves_its_texts_readable(millrace, recipe, dataset):
    screen = on_a_terminal(millrace, 100, "train", recipe, "--data", dataset, "--out", "run", "--set", "train.max_steps=9")
    shown = [line for line in screen.lines if line]
    assert screen.redrawn > 3, "the bar never moved"
    assert sum("train epoch 1/2" in line for line in shown) == 1, shown
    assert sum(line.startswith("validate") for line in shown) == 2, shown
    assert sum(line.startswith("val after epoch") for line in shown) == 2, shown
    assert "ETA" not in "".join(shown), "a finished bar says how long it took"
