"""Where the tests find the program, and what several of them work on.

MILLRACE_BUILD      the folder that holds the program (default: build/release)
MILLRACE_TEST_DATA  real pictures, unpacked or as tars (default: ../shared/data, beside the repository)
"""

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
import support
from slurm import Slurm

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def path() -> Path:
    """The program's path."""
    path = (ROOT / os.environ.get("MILLRACE_BUILD", "build/release")) / "millrace"
    assert path.is_file(), f"{path} is not there: run './check build', or set MILLRACE_BUILD"
    return path


@pytest.fixture
def millrace(path, tmp_path):
    """The program, at work in the test's own folder."""
    return support.Program(path, tmp_path)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """An image folder with train/ (3 x 40) and val/ (3 x 15). Not to be changed."""
    folder = tmp_path_factory.mktemp("pictures")
    support.write_pictures(folder / "train", 40, seed=1)
    support.write_pictures(folder / "val", 15, seed=2)
    return folder


@pytest.fixture(scope="session")
def dataset(path, pictures, tmp_path_factory):
    """`pictures`, converted: 3 shards of train, 1 of val. Not to be changed."""
    folder = tmp_path_factory.mktemp("dataset") / "data"
    program = support.Program(path, folder.parent)
    program.done("convert", "--from", pictures / "train", "--to", folder, "--shards", 3)
    program.done("convert", "--from", pictures / "val", "--to", folder, "--split", "val")
    return folder


@pytest.fixture
def own_dataset(dataset, tmp_path):
    """A copy of `dataset` that the test may damage."""
    return shutil.copytree(dataset, tmp_path / "own")


@pytest.fixture
def recipe(tmp_path):
    """A file with support.RECIPE."""
    (tmp_path / "recipe.toml").write_text(support.RECIPE)
    return tmp_path / "recipe.toml"


@pytest.fixture
def tiny_recipe(tmp_path):
    """A file with support.TINY_RECIPE."""
    (tmp_path / "tiny.toml").write_text(support.TINY_RECIPE)
    return tmp_path / "tiny.toml"


@pytest.fixture(scope="session")
def straight(path, dataset, tmp_path_factory):
    """The folder of support.RECIPE's run, which nobody disturbed. Not to be changed."""
    folder = tmp_path_factory.mktemp("straight")
    (folder / "recipe.toml").write_text(support.RECIPE)
    support.Program(path, folder).done("train", "recipe.toml", "--data", dataset, "--out", "run")
    return folder / "run"


@pytest.fixture
def small_disk(tmp_path):
    """A function that makes a folder with so little room: a full disk. For root a disk of its own; for others a limit on
    the size of files, which the system answers in the same places. Gives the folder and what to do in the child."""
    mounted = []

    def make(mebibytes):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        if os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder],
                                                capture_output=True).returncode == 0:
            mounted.append(folder)
            return folder, None
        limit = mebibytes << 20
        return folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    yield make
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A Slurm of this machine's own with two nodes, n1 and n2."""
    if os.getuid() != 0:
        pytest.skip("a Slurm of its own needs root")
    folder = tmp_path_factory.mktemp("slurm")
    # Daemons and tasks reach it whoever they are.
    for parent in [folder, folder.parent]:
        parent.chmod(0o755)
    with Slurm(folder) as cluster:
        yield cluster
