"""examples/plugin, built as its users build it: against the installed program, out of the tree."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess

import numpy
import pytest
import support
from conftest import ROOT
from PIL import Image
from safetensors.numpy import load_file
from support import checkpoints, metrics, same_runs

EXAMPLE = ROOT / "examples" / "plugin"
CYCLE, LEAST = 8, 0.1  # of the schedule in the example's recipe


@pytest.fixture(scope="session")
def installed(path, tmp_path_factory, worker_id):
    """The folder with the installed program in prefix/ and the example, built, in project/. Not to be changed."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "plugin"
    folder.mkdir(exist_ok=True)
    # Test processes share it.
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            prefix, project = folder / "prefix", folder / "project"
            shutil.copytree(EXAMPLE, project)
            for command in [
                ["cmake", "--install", path.parent, "--prefix", prefix],
                ["cmake", "-G", "Ninja", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix}"],
                ["cmake", "--build", project / "build"],
            ]:
                done = subprocess.run(command, capture_output=True, text=True)
                assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
            (folder / "complete").touch()
    return folder


@pytest.fixture(scope="session")
def recipe_path(installed):
    return installed / "project" / "recipe.toml"


@pytest.fixture(scope="session")
def library(installed):
    return installed / "project" / "build" / "libmy_ops.so"


@pytest.fixture
def millrace(installed, tmp_path):
    """The installed program, at work in the test's own folder."""
    return support.Program(installed / "prefix" / "bin" / "millrace", tmp_path)


@pytest.fixture(scope="module")
def run(installed, recipe_path, dataset, tmp_path_factory):
    """The folder of the example's run. Not to be changed."""
    folder = tmp_path_factory.mktemp("run")
    support.Program(installed / "prefix" / "bin" / "millrace", folder).done(
        "train", recipe_path, "--data", dataset, "--out", "run")
    return folder / "run"


def train_lines(run):
    return [line for line in metrics(run) if line["group"] == "train"]


def test_schedule_of_a_plugin_gives_the_rates(run):
    for line in train_lines(run):
        at = (line["step"] - 1) % CYCLE / CYCLE
        assert line["lr"] == pytest.approx(0.01 * (LEAST + (1 - LEAST) * (1 - abs(2 * at - 1))))


def test_network_of_a_plugin_is_trained_by_its_optimizer(millrace, recipe_path, dataset):
    weights = []
    for steps in (1, 2):
        millrace.done("train", recipe_path, "--data", dataset, "--out", f"run{steps}", "--set", f"train.max_steps={steps}",
                      "--set", "schedule.min_factor=1.0", "--set", "optimizer.lr=0.125")
        weights.append(load_file(checkpoints(millrace.folder / f"run{steps}")[-1]))
    assert weights[0]["conv.weight"].shape == (8, 3, 3, 3)
    assert weights[0]["fc.weight"].shape == (support.CLASSES, 8)
    for name in ("conv.weight", "norm.weight", "fc.weight"):
        # A step by the sign alone; gradients of exactly zero may stay.
        moved = numpy.abs(weights[1][name] - weights[0][name])
        assert numpy.all((numpy.abs(moved - 0.125) < 1e-6) | (moved == 0)), name
        assert moved.max() > 0, name


def test_loss_of_a_plugin_is_what_training_minimises(millrace, recipe_path, dataset):
    losses = {}
    text = recipe_path.read_text().replace("build/", f"{recipe_path.parent}/build/")
    for name, loss in {"entropy": 'name = "cross_entropy"', "flat": 'name = "focal"\ngamma = 0.0',
                       "focal": 'name = "focal"\ngamma = 2.0'}.items():
        (millrace.folder / f"{name}.toml").write_text(text.replace('name = "focal"\ngamma = 1.5', loss))
        millrace.done("train", f"{name}.toml", "--data", dataset, "--out", name, "--set", "train.max_steps=1")
        losses[name] = train_lines(millrace.folder / name)[0]["loss"]
    assert losses["flat"] == pytest.approx(losses["entropy"], rel=1e-5)
    assert 0 < losses["focal"] < 0.8 * losses["entropy"]


def test_sink_of_a_plugin_is_told_what_metrics_say(run):
    told = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    losses = [(int(step), float(value)) for step, group, name, value in told if (group, name) == ("train", "loss")]
    assert [step for step, _ in losses] == [line["step"] for line in train_lines(run)]
    assert [value for _, value in losses] == pytest.approx([line["loss"] for line in train_lines(run)], rel=1e-4)


def test_metric_of_a_plugin_is_told_with_every_evaluation(millrace, run, recipe_path, dataset):
    validations = [line for line in metrics(run) if line["group"] == "val"]
    assert len(validations) == 2
    assert all(line["top1"] <= line["top2"] <= line["top5"] for line in validations)
    [best] = (run / "best").iterdir()
    told = millrace.done("eval", recipe_path, "--data", dataset, "--weights", best, "--json", "--set",
                         "evaluation.metrics=[{metric='topk'}, {metric='topk', k=5, name='of_five'}]").json()
    assert told["metrics"] == {"topk": told["top1"], "of_five": told["top5"]}


def test_grid_shows_the_augmentation_of_a_plugin(millrace, recipe_path, dataset):
    millrace.done("inspect", dataset, "--grid", "grid.png", "--config", recipe_path, "--rows", 4, "--columns", 8)
    grid = numpy.asarray(Image.open(millrace.folder / "grid.png")).astype(int)
    framed, greys = 0, set()
    for top in range(0, 4 * 34, 34):
        for left in range(0, 8 * 34, 34):
            picture = grid[top:top + 32, left:left + 32]
            edge = numpy.concatenate([picture[:3].reshape(-1, 3), picture[-3:].reshape(-1, 3),
                                      picture[:, :3].reshape(-1, 3), picture[:, -3:].reshape(-1, 3)])
            assert numpy.ptp(picture[3:-3, 3:-3]) > 20  # and nothing but the frame
            if numpy.ptp(edge) == 0:
                framed += 1
                greys.add(edge[0, 0])
    # p = 0.75 of 32: fewer than 12 or all of them would be one chance in ten thousand, and the draws are fixed.
    assert 12 <= framed < 32
    assert len(greys) > framed / 2


def test_run_says_which_plugin_it_had(run, library):
    sha256 = hashlib.sha256(library.read_bytes()).hexdigest()
    assert f'"libmy_ops.so {sha256}"' in (run / "environment.json").read_text()
    assert f'{{ file = "{library}", sha256 = "{sha256}" }}' in (run / "config.toml").read_text()


def test_stopped_run_goes_on_bit_for_bit(millrace, recipe_path, dataset, run):
    arguments = ["train", recipe_path, "--data", dataset, "--out", "stopped"]
    assert millrace(*arguments, "--stop-after", 5).code == 3
    millrace.done(*arguments, "--resume", "auto")
    same_runs(run, millrace.folder / "stopped")
    assert (millrace.folder / "stopped" / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()


def test_two_processes_train_with_it(millrace, recipe_path, dataset):
    millrace.done("launch", "-n", 2, "--", "train", recipe_path, "--data", dataset, "--out", "two", "--set",
                  "train.max_steps=2", "--set", "batch.per_device=8")
    assert [line["step"] for line in train_lines(millrace.folder / "two")] == [1, 2]


def test_other_verbs_know_its_components(millrace, run, dataset):
    recipe = run / "config.toml"
    [best] = (run / "best").iterdir()
    told = millrace.done("eval", recipe, "--data", dataset, "--weights", best, "--json").json()
    assert told["top1"] == max(line["top1"] for line in metrics(run) if line["group"] == "val")
    assert "tiny_conv" in millrace.done("config", recipe).out
    millrace.done("profile", recipe, "--data", dataset, "--seconds", "0.2", "--out", "profile")
    millrace.done("compare", run, run)


def test_resume_without_the_plugin_names_what_is_missing(millrace, run, recipe_path, dataset):
    own = support.copy_run(run, millrace.folder / "own")
    text = recipe_path.read_text()
    without = re.sub(r'(?m)^plugins = .*$|^  \{ op = "frame".*$|^sinks = .*$|^metrics = .*$', "", text)
    (millrace.folder / "without.toml").write_text(without)
    millrace.refuses(2, "train", "without.toml", "--data", dataset, "--out", own, "--resume", "auto",
                     says=["without.toml: loss.name", '"focal"', "cross_entropy"])
    (millrace.folder / "elsewhere.toml").write_text(text)
    millrace.refuses(2, "train", "elsewhere.toml", "--data", dataset, "--out", own, "--resume", "auto",
                     says=["elsewhere.toml: plugins[0]", f"there is no plugin {millrace.folder}/build/libmy_ops.so"])


def test_compare_tells_another_build_of_the_plugin(millrace, library, recipe_path, dataset):
    # Bytes behind its end, which nothing reads, make another file of it.
    (millrace.folder / "build").mkdir()
    own = millrace.folder / "build" / "libmy_ops.so"
    shutil.copy(recipe_path, millrace.folder / "mine.toml")
    for name, more in (("a", b""), ("b", b"another")):
        own.write_bytes(library.read_bytes() + more)
        millrace.done("train", "mine.toml", "--data", dataset, "--out", name, "--set", "train.max_steps=1")
    told = millrace.done("compare", "a", "b", "--json").json()
    assert told["same"] and told["settings"] == []
    assert [entry["name"] for entry in told["environment"]] == ["plugins"]
    # What a run keeps of its recipe means the file that it had.
    millrace.refuses(2, "config", "a/config.toml", says=[
        "a/config.toml: plugins[0]", "another file than the one that was meant", "give its path alone"])
    # A run that goes on with it says so.
    resumed = millrace.done("train", "mine.toml", "--data", dataset, "--out", "a", "--set", "train.max_steps=2",
                            "--resume", "auto")
    assert "resuming with another setting: plugins: " in resumed.err


def test_settings_of_a_plugin_are_read_as_strictly_as_all(millrace, recipe_path):
    for setting, says in [
        ("model={name='tiny_conv', chanels=8}", ["model.chanels", 'did you mean "channels"?']),
        ("model.channels=0", ["model.channels", "is 0", "between 1 and 4096"]),
        ("loss.name='focl'", ["loss.name", 'did you mean "focal"?']),
        ("schedule.cycle_steps=1", ["schedule.cycle_steps", "is 1", "between 2 and"]),
        ("evaluation.metrics=[{metric='top_k'}]", ["evaluation.metrics[0].metric", 'did you mean "topk"?']),
        ("evaluation.metrics=[{metric='topk', k=0}]", ["evaluation.metrics[0].k", "is 0", "between 1 and"]),
        ("evaluation.metrics=[{metric='topk', name='top5'}]",
         ["evaluation.metrics[0].name", '"top5", which another number of an evaluation has']),
        ("tracking.sinks=[{sink='csw'}]", ["tracking.sinks[0].sink", 'did you mean "csv"?']),
        ("tracking.sinks=[{sink='csv', fil='x'}]", ["tracking.sinks[0].fil", 'did you mean "file"?']),
        ("data.train.ops=[{op='random_resized_crop', size=32}, {op='frame', width=17}]",
         ["data.train.ops[1].width", "is 17", "between 1 and 16"]),
        ("data.train.ops=[{op='frame'}, {op='random_resized_crop', size=32}]", ["data.train.ops"]),
    ]:
        millrace.refuses(2, "config", recipe_path, "--set", setting, says=says)


def test_library_without_the_entry_is_no_plugin(millrace, recipe_path):
    [torch] = {line.split()[2] for line in subprocess.run(["ldd", millrace.path], capture_output=True, text=True).stdout
               .splitlines() if "libc10.so" in line}
    millrace.refuses(2, "config", recipe_path, "--set", f"plugins=['{torch}']",
                     says=["plugins[0]", torch, "is no plugin: it was built without MILLRACE_PLUGIN"])


def test_installed_headers_are_complete(installed):
    """Each finds all that it includes without the source tree, with LibTorch's and {fmt}'s headers beside it."""
    include = installed / "prefix" / "include" / "millrace"
    headers = sorted(path.relative_to(include) for path in include.rglob("*.h"))
    assert len(headers) > 20
    [torch] = re.findall(r"LibTorch_INCLUDE_DIR:PATH=(.*)", (installed / "project/build/CMakeCache.txt").read_text())
    all_of_them = "".join(f'#include "{header}"\n' for header in headers)
    found = subprocess.run(["g++", "-std=c++20", "-M", "-x", "c++", "-", f"-I{include}", f"-isystem{torch}",
                            f"-isystem{torch}/torch/csrc/api/include"], input=all_of_them, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    ours = [word for word in found.stdout.split() if word.startswith(os.fspath(ROOT / ""))]
    assert not [word for word in ours if "site-packages" not in word], ours
