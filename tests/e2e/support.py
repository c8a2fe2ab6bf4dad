"""What the end-to-end tests share: pictures and recipes to work on, the program as a user runs it, and what it left."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

CLASSES = 3
TIME_LIMIT_S = 180  # of one command; reached only when it hangs


def default_signals():
    """Undoes what nohup and background jobs of a shell ignore; a child would inherit it."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


# A recipe small enough for a test; every piece is in the recipes of configs/ too.
RECIPE = """
seed = 0
[data.train]
ops = [
  { op = "random_resized_crop", size = 32, scale = [0.5, 1.0] },
  { op = "horizontal_flip" },
]
[data.val]
ops = [{ op = "resize", size = 36 }, { op = "center_crop", size = 32 }]
[batch]
per_device = 16
evaluate_per_device = 4
[model]
name = "resnet18"
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.003
momentum = 0.9
[schedule]
name = "cosine"
[train]
epochs = 2
log_every_steps = 1
[checkpoint]
every_steps = 4
keep = 2
[pipeline]
workers = 2
"""

# The same without evaluation and at 8 pixels: a step costs next to nothing.
TINY_RECIPE = """
seed = 0
[data.train]
ops = [{ op = "random_resized_crop", size = 8 }]
[batch]
per_device = 8
[model]
name = "resnet18"
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.01
[schedule]
name = "constant"
[train]
epochs = 1
log_every_steps = 1
"""


def write_pictures(folder, per_class, seed, names=None):
    """An image folder of 40 x 30 JPEGs; the class is in the colour, with noise on top."""
    random = numpy.random.default_rng(seed)
    for label, name in enumerate(names or [f"class{label}" for label in range(CLASSES)]):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = random.integers(0, 160, (30, 40, 3))
            pixels[..., label % 3] += 95
            Image.fromarray(pixels.astype(numpy.uint8)).save(folder / name / f"{number:03}.jpg", quality=85)
    return folder


class Result:
    """How a command ended: exit code (negative: the signal that ended it), stdout and stderr."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)

    def message(self):
        """The error as the user reads it, without the progress lines above it."""
        begin = self.err.rfind("millrace: ")
        assert begin >= 0, f"no error message in:\n{self.err}"
        return self.err[begin:].rstrip("\n")


class Program:
    """The program, run in a folder of its own as a user without a terminal runs it."""

    def __init__(self, path, folder):
        self.path, self.folder = path, folder
        self.environment = {**os.environ, "LC_ALL": "C.UTF-8"}

    def __call__(self, *arguments, preexec_fn=None):
        done = subprocess.run([self.path, *map(str, arguments)], cwd=self.folder, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT_S,
                              preexec_fn=preexec_fn)
        return Result(done.returncode, done.stdout.decode(errors="backslashreplace"),
                      done.stderr.decode(errors="backslashreplace"))

    def done(self, *arguments, preexec_fn=None):
        """Runs what must succeed."""
        result = self(*arguments, preexec_fn=preexec_fn)
        assert result.code == 0, f"{arguments} ended with {result.code}:\n{result.err}"
        return result

    def refuses(self, code, *arguments, says, preexec_fn=None):
        """Runs what must end with this exit code and one message that holds all texts of `says`."""
        result = self(*arguments, preexec_fn=preexec_fn)
        assert result.code == code, f"{arguments} ended with {result.code}:\n{result.out}\n{result.err}"
        message = result.message()
        for text in [says] if isinstance(says, str) else says:
            assert text in message, f"'{text}' is not in: {message}"
        # The words of a library or of the language, not ours.
        for text in ["json.exception", "terminate called", "what()", "basic_string", "std::"]:
            assert text not in result.err, result.err
        return message

    def start(self, *arguments, **options):
        """A command that goes on in the background, with the signals as in a terminal, however the tests were started."""
        return subprocess.Popen([self.path, *map(str, arguments)], cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, **{"env": self.environment, "stderr": subprocess.PIPE,
                                                           "preexec_fn": default_signals, **options})


def snapshot(*folders):
    """What is in these folders or files: kind, content and time of change of every entry."""
    state = {}
    for top in map(Path, folders):
        for path in [top, *top.rglob("*")]:
            if path.is_symlink():
                state[path] = ("link", os.readlink(path))
            elif path.is_file():
                # Large files are replaced or left alone, which the rest tells as well as their content would.
                info = path.stat()
                content = hashlib.sha256(path.read_bytes()).hexdigest() if info.st_size < 1 << 22 else info.st_ino
                state[path] = ("file", content, info.st_size, info.st_mtime_ns)
            elif path.is_dir():
                state[path] = ("folder",)
    return state


@contextlib.contextmanager
def untouched(*folders):
    """Whatever happens inside leaves these folders as they were."""
    before = snapshot(*folders)
    yield
    after = snapshot(*folders)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not changed, f"changed: {sorted(map(str, changed))}"


def copy_run(source, to):
    """A copy of a run's folder to go on in. Checkpoints are links: replace them, never write into them."""

    def copy(file, target):
        return os.link(file, target) if file.endswith(".safetensors") else shutil.copy2(file, target)

    return shutil.copytree(source, to, copy_function=copy)


def checkpoints(run):
    """The checkpoints of a run's folder, oldest first."""
    return sorted((run / "checkpoints").glob("step-*.safetensors"))


def same_tensors(first, second):
    """Asserts that two safetensors files hold the same tensors, bit for bit."""
    from safetensors.numpy import load_file

    first, second = load_file(first), load_file(second)
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].dtype == second[name].dtype and first[name].shape == second[name].shape, name
        assert numpy.array_equal(first[name].ravel().view("u1"), second[name].ravel().view("u1")), f"{name} differs"


def same_runs(first, second):
    """Asserts that two runs tell and found the same, ended with the same state and kept the same best weights."""
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()
    found = [run / "evaluation.json" for run in (first, second)]
    assert found[0].exists() == found[1].exists()
    assert not found[0].exists() or found[0].read_bytes() == found[1].read_bytes()
    assert checkpoints(first)[-1].name == checkpoints(second)[-1].name
    same_tensors(checkpoints(first)[-1], checkpoints(second)[-1])
    best = sorted(path.name for path in (first / "best").iterdir())
    assert best == sorted(path.name for path in (second / "best").iterdir())
    for name in best:
        same_tensors(first / "best" / name, second / "best" / name)


def event_reader(run):
    """TensorBoard's own, over all that the run left for it."""
    reader = event_accumulator.EventAccumulator(str(run), size_guidance=dict.fromkeys(
        event_accumulator.DEFAULT_SIZE_GUIDANCE, 0))
    reader.Reload()
    return reader


def pictures(run):
    """The PNG files that the run showed, by tag and step."""
    reader = event_reader(run)
    return {(tag, event.step): event.encoded_image_string for tag in reader.Tags()["images"] for event in reader.Images(tag)}


def metrics(run):
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
