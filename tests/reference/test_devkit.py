"""The devkit of ImageNet against scipy: a meta.mat as MATLAB and scipy write it, read as torchvision does."""

import subprocess
import tarfile
from pathlib import Path

import numpy
import pytest
import scipy.io

# ILSVRC2012_ID, WNID, words, num_children; the numbers do not go with the order of the ids, and the last two are inner
# nodes of the tree.
SYNSETS = [
    (1, "n02119789", "kit fox, Vulpes macrotis", 0),
    (2, "n02100735", "English setter", 0),
    (3, "n01440764", "tench, Tinca tinca", 0),
    (4, "n07836838", "crème brûlée, 'quoted'", 0),
    (5, "n00015388", "animal, animate being", 2),
    (1000, "n00001740", "entity", 3),
]


def judge(build: Path, *arguments) -> str:
    program = build / "tests/storage/devkit_judge"
    assert program.is_file(), f"{program} is not there: run './check build', or set MILLRACE_BUILD"
    done = subprocess.run([program, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def as_torchvision_reads(path: Path) -> dict[int, tuple[str, str]]:
    """Number -> id and words of the leaves."""
    rows = scipy.io.loadmat(path, squeeze_me=True)["synsets"]
    return {int(row["ILSVRC2012_ID"]): (str(row["WNID"]), str(row["words"])) for row in rows if row["num_children"] == 0}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("number", [numpy.float64, numpy.uint8, numpy.int16, numpy.int32, numpy.int64, numpy.float32])
@pytest.mark.parametrize("shape", [(-1, 1), (1, -1)])
def test_meta_mat_of_scipy_reads_as_torchvision_reads_it(build, tmp_path, compressed, number, shape):
    def as_number(value):
        return number(value if number is not numpy.uint8 else value % 256)

    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height",
              "num_train_images"]
    rows = numpy.array([(as_number(identity), wnid, words, "a gloss", as_number(children), numpy.zeros((1, children)),
                         as_number(0), as_number(130)) for identity, wnid, words, children in SYNSETS],
                       dtype=[(field, object) for field in fields])
    data = tmp_path / "ILSVRC2012_devkit_t12/data"
    data.mkdir(parents=True)
    scipy.io.savemat(data / "meta.mat", {"synsets": rows.reshape(shape), "unrelated": numpy.eye(3)},
                     do_compression=compressed)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n4\n1\n2\n", encoding="ascii")
    packed = tmp_path / "ILSVRC2012_devkit_t12.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(tmp_path / "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12")

    leaves = as_torchvision_reads(data / "meta.mat")
    assert len(leaves) == 4
    expected = [f"class {wnid} {words}" for wnid, words in sorted(leaves.values())]
    expected += [f"label {leaves[i][0]}" for i in (3, 1, 4, 1, 2)]
    for devkit in (packed, tmp_path / "ILSVRC2012_devkit_t12"):
        assert judge(build, "read", devkit).splitlines() == expected


def test_meta_mat_of_the_tests_reads_in_scipy(build, tmp_path):
    judge(build, "make", tmp_path / "meta.mat")
    leaves = as_torchvision_reads(tmp_path / "meta.mat")
    assert sorted(leaves) == [1, 2, 3, 4, 5]
    for wnid, words in leaves.values():
        assert words == f"words of {wnid}, and more"
    assert judge(build, "read", tmp_path).splitlines() == [f"class {wnid} {words}" for wnid, words in
                                                           sorted(leaves.values())]
