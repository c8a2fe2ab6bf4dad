"""Where the judges find the build and the pictures. `./check judges` sets both variables; without them the defaults hold.

MILLRACE_BUILD      the build folder (default: build/release)
MILLRACE_TEST_DATA  real pictures, unpacked or as tars (default: ../shared/data, beside the repository)
"""

import os
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Where the two sets of pictures lie, unpacked, within MILLRACE_TEST_DATA, and the tars they come from.
SETS = {"imagenette": (".", "imagenette-224.tar"), "originals": ("originals", "imagenet-originals-200.tar")}


@pytest.fixture(scope="session")
def build() -> Path:
    """The build folder."""
    folder = Path(os.environ.get("MILLRACE_BUILD", ROOT / "build/release")).absolute()
    assert folder.is_dir(), f"{folder} is not there: run './check build', or set MILLRACE_BUILD"
    return folder


@pytest.fixture(scope="session")
def millrace(build: Path) -> Path:
    """The program."""
    program = build / "millrace"
    assert program.is_file(), f"{program} is not there: run './check build', or set MILLRACE_BUILD"
    return program


def _picture_set(name: str, unpacked_into: Path) -> Path:
    """An image folder with train/ (and val/); skips visibly when the pictures are not at hand."""
    data = Path(os.environ.get("MILLRACE_TEST_DATA", ROOT.parent / "shared/data"))
    folder, tar = SETS[name]
    if (data / folder / "train").is_dir():
        return data / folder
    if not (data / tar).is_file():
        pytest.skip(f"neither {data / folder}/train nor {data / tar} is there (set MILLRACE_TEST_DATA)")
    with tarfile.open(data / tar) as archive:
        archive.extractall(unpacked_into, filter="data")
    return unpacked_into


@pytest.fixture(scope="session")
def imagenette(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ten-class set at 224x224: train/ and val/."""
    return _picture_set("imagenette", tmp_path_factory.mktemp("imagenette"))


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 original ImageNet files: train/."""
    return _picture_set("originals", tmp_path_factory.mktemp("originals"))
