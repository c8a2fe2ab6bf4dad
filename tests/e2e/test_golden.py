"""A short run whose digests are written down (tests/golden): a change that makes other pictures, batches or weights is seen.

Batches are whole numbers from the first draw to the last pixel, and the same on every machine. Losses and weights are
floating-point sums, whose order is LibTorch's: they are written down for the LibTorch that the tests install, computed by
one thread with the kernels that every x86-64 processor has.

    MILLRACE_WRITE_GOLDEN=1 python -m pytest tests/e2e/test_golden.py

writes them anew; the commit says why they change.
"""

import json
import os
import platform

import pytest
import support
from support import metrics

GOLDEN = support.Path(__file__).parents[1] / "golden"
# One kind of kernels on all processors: ATen's, oneDNN's and MKL's switches.
PLAIN_KERNELS = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}


@pytest.fixture(scope="module")
def found(path, tmp_path_factory):
    """What the run gives here."""
    folder = tmp_path_factory.mktemp("golden")
    program = support.Program(path, folder)
    program.environment |= PLAIN_KERNELS
    for split, images in (("train", 56), ("val", 20)):
        program.done("synth", "--to", f"synth/{split}", "--images", images, "--classes", 4, "--seed", 5, "--split", split)
        program.done("convert", "--from", f"synth/{split}", "--to", "data", "--split", split, "--shards", 2)
    core = min(os.sched_getaffinity(0))
    program.done("train", GOLDEN / "short-run.toml", "--data", "data", "--out", "run", "--devices", "cpu",
                 preexec_fn=lambda: os.sched_setaffinity(0, [core]))
    manifest = json.loads((folder / "data/manifest.json").read_text())
    environment = json.loads((folder / "run/environment.json").read_text())
    lines = metrics(folder / "run")
    values = {"fingerprint": environment["dataset_fingerprint"],
              "batches": [line["batches"] for line in lines if line["group"] == "train"],
              "libtorch": environment["libtorch"],
              "losses": [line["loss"] for line in lines if line["group"] == "train"],
              "weights": [line["weights"] for line in lines if line["group"] == "checkpoint"]}
    assert manifest["splits"].keys() == {"train", "val"} and environment["cpu_capability"] == "DEFAULT"
    if os.environ.get("MILLRACE_WRITE_GOLDEN"):
        (GOLDEN / "short-run.json").write_text(json.dumps(values, indent=2) + "\n")
    return values


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDEN / "short-run.json").read_text())


def test_synthetic_pictures_are_those_of_the_golden_run(found, golden):
    assert found["fingerprint"] == golden["fingerprint"]


def test_batches_are_those_of_the_golden_run(found, golden):
    assert len(golden["batches"]) == 6
    assert found["batches"] == golden["batches"]


def test_losses_and_weights_are_those_of_the_golden_run(found, golden):
    if platform.machine() != "x86_64":
        pytest.skip("losses are written down for x86-64")
    if found["libtorch"] != golden["libtorch"]:
        pytest.skip(f"losses are written down for LibTorch {golden['libtorch']}; this is {found['libtorch']}")
    assert found["losses"] == golden["losses"]
    assert found["weights"] == golden["weights"]
