"""Several seeds from one command: ordinary runs, one after another, and how far their accuracies lie apart."""

import json
import statistics

import pytest
import support
from support import metrics, same_runs
from test_many_devices import Ranks

RECIPE = support.TINY_RECIPE.replace('name = "resnet18"', 'name = "resnet18"\nwidth = 8') + """
[data.val]
ops = [{ op = "resize", width = 8, height = 8 }]
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "recipe.toml"


def accuracies(run):
    return [line for line in metrics(run) if line["group"] == "val"]


def test_seeds_are_ordinary_runs_that_go_on_and_their_spread_is_told(millrace, recipe, dataset):
    command = ["train", recipe, "--data", dataset, "--devices", "cpu"]
    folder = millrace.folder / "out"
    stopped = millrace(*command, "--seeds", "3,1", "--out", folder, "--stop-after", 6, "--json")
    assert stopped.code == 3
    assert [(run["seed"], run["state"], run["step"]) for run in stopped.json()["runs"]] == [
        (3, "stopped", 6), (1, "waiting", 0)]
    assert (stopped.json()["interrupted"], stopped.json()["summary"]) == (True, {})

    millrace.refuses(2, *command, "--seeds", "3,1", "--out", folder,
                     says=["seed 3: ", "seed-3 already holds a run: go on with --resume auto"])
    told = millrace.done(*command, "--seeds", "3,1", "--out", folder, "--resume", "auto", "--json").json()
    assert told == json.loads((folder / "seeds.json").read_text())
    for row in told["runs"]:
        run = folder / f"seed-{row['seed']}"
        assert (row["folder"], row["state"], row["step"], row["total_steps"]) == (run.name, "finished", 15, 15)
        last, best = accuracies(run)[-1], max(accuracies(run), key=lambda line: line["top1"])
        assert (row["last_top1"], row["last_top5"]) == (last["top1"], last["top5"])
        assert (row["best_top1"], row["best_top5"]) == (best["top1"], best["top5"])
        assert row["seconds"] > 0
    assert told["runs"][0]["seconds"] > stopped.json()["runs"][0]["seconds"]
    for name, summary in told["summary"].items():
        numbers = [row[name] for row in told["runs"]]
        assert (summary["runs"], summary["min"], summary["max"]) == (2, min(numbers), max(numbers))
        assert summary["mean"] == pytest.approx(statistics.mean(numbers))
        assert summary["standard_deviation"] == pytest.approx(statistics.stdev(numbers))
    assert set(told["summary"]) == {"best_top1", "best_top5", "last_top1", "last_top5", "seconds"}

    # The second run of a process is that of a process of its own.
    millrace.done(*command, "--set", "seed=1", "--out", "alone")
    same_runs(millrace.folder / "alone", folder / "seed-1")

    before = (folder / "seeds.json").read_bytes()
    again = millrace.done(*command, "--seeds", "3,1", "--out", folder)
    assert again.err.count("nothing to do: all 15 steps are done") == 2
    assert (folder / "seeds.json").read_bytes() == before
    lines = [line.split() for line in again.out.splitlines()]
    assert [line[0] for line in lines] == ["seed", "3", "1", "mean", "+-", "min", "max"]
    assert lines[3][1] == f"{told['summary']['best_top1']['mean']:.4f}"
    assert lines[4][3] == f"{told['summary']['last_top1']['standard_deviation']:.4f}"

    millrace.refuses(2, *command, "--seeds", "3,2", "--out", folder, "--resume", "auto", "--set", "optimizer.lr=0.02",
                     says=["seed-3 holds a run of another recipe: optimizer.lr: 0.01 before, 0.02 now",
                           "choose another folder with --out"])
    assert not (folder / "seed-2").exists()


@pytest.mark.parametrize(("words", "says"), [
    (["--seeds", "1,2,1"], "--seeds 1,2,1: 1 is there twice"),
    (["--seeds", "one"], "--seeds one: write seeds, as in --seeds 0,1,2, or how many, as in --seeds 3"),
    (["--seeds", "0"], "--seeds 0: there can be 1 to 1000 of them"),
    (["--seeds", "2", "--resume", "a.safetensors"], "--seeds: each seed has checkpoints of its own; write --resume auto"),
    (["--seeds", "2", "--verify-resume"], "--verify-resume is for one seed; leave out --seeds"),
])
def test_what_makes_no_sense_with_seeds_is_refused(millrace, recipe, dataset, words, says):
    millrace.refuses(2, "train", recipe, "--data", dataset, *words, says=says)
    assert not (millrace.folder / "runs").exists()


def test_one_run_of_a_tracker_for_all_seeds_is_refused(millrace, recipe, dataset):
    millrace.environment |= {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "MLFLOW_RUN_ID": "0" * 32}
    millrace.refuses(2, "train", recipe, "--data", dataset, "--seeds", "2",
                     says="--seeds: MLFLOW_RUN_ID names one run for all seeds; unset it, or start each seed by itself")


def test_processes_go_through_the_seeds_together(millrace, recipe, dataset):
    command = ["train", recipe, "--data", dataset, "--devices", "cpu:1", "--set", "batch.per_device=4",
               "--set", "deterministic=true", "--set", "train.max_steps=4"]
    Ranks(millrace, 2, *command, "--seeds", "2", "--out", "both").done()
    Ranks(millrace, 2, *command, "--set", "seed=1", "--out", "alone").done()
    same_runs(millrace.folder / "alone", millrace.folder / "both" / "seed-1")
    told = json.loads((millrace.folder / "both" / "seeds.json").read_text())
    assert [(run["seed"], run["state"]) for run in told["runs"]] == [(0, "finished"), (1, "finished")]
