"""Image folders that cannot be converted, and strange ones that can."""

import json
import os
import shutil

import pytest
from PIL import Image
from support import untouched, write_pictures

TWO = ["cat", "dog"]


@pytest.fixture
def source(tmp_path):
    """An image folder of two classes with 6 pictures each, to be spoiled."""
    return write_pictures(tmp_path / "source", 6, seed=3, names=TWO)


def refuses(millrace, source, code, says):
    """Converting `source` with --on-bad fail does so and leaves it alone, and no dataset appears."""
    to = millrace.folder / "to"
    with untouched(source) if source.exists() else untouched():
        message = millrace.refuses(code, "convert", "--from", source, "--to", to, "--on-bad", "fail", says=says)
    assert not (to / "manifest.json").exists()
    assert not list(to.glob("*.lmdb*"))
    return message


def test_source_missing_is_refused(millrace, tmp_path):
    refuses(millrace, tmp_path / "none", 2, f"there is no file or folder {tmp_path}/none")


def test_source_being_a_file_is_refused(millrace, tmp_path):
    (tmp_path / "file").write_text("hello")
    refuses(millrace, tmp_path / "file", 1, f"{tmp_path}/file")


def test_source_empty_is_refused_with_the_layout_that_is_expected(millrace, tmp_path):
    (tmp_path / "empty").mkdir()
    refuses(millrace, tmp_path / "empty", 1, [f"{tmp_path}/empty has no class folders", "<class>/<picture>.jpg"])


def test_source_of_splits_is_refused_with_the_folder_that_was_meant(millrace, pictures):
    refuses(millrace, pictures, 2, ["splits, not classes", f"--from {pictures}/train"])


def test_class_folder_empty_is_refused(millrace, source):
    (source / "empty").mkdir()
    refuses(millrace, source, 1, [f"the class folder {source}/empty holds no pictures", "remove it or fill it"])


def test_single_class_is_refused(millrace, source):
    shutil.rmtree(source / "dog")
    refuses(millrace, source, 1, [f'{source} has a single class, "cat"', "two at least"])


def png_named_jpeg(path):
    Image.new("RGB", (20, 20)).save(path, "PNG")


def truncated(path):
    content = (path.parent / "000.jpg").read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def corrupt(path):
    # A run of zeros amid the entropy-coded data gives codes that the tables do not have.
    content = bytearray((path.parent / "000.jpg").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 60] = b"\xff\xc4" * 30
    path.write_bytes(content)


def cmyk(path):
    Image.new("CMYK", (20, 20)).save(path, "JPEG")


BAD_FILES = [
    ("empty.jpg", lambda path: path.write_bytes(b""), "an empty file"),
    ("text.jpg", lambda path: path.write_text("not a picture"), "not a JPEG"),
    ("page.jpg", lambda path: path.write_text("<!DOCTYPE html><html>404</html>"), "an HTML page"),
    ("gone.jpg", lambda path: path.symlink_to("nowhere"), "No such file or directory"),
    ("cut.jpg", truncated, "a truncated JPEG"),
    ("spoilt.jpg", corrupt, "a corrupt JPEG"),
    ("picture.JPEG", png_named_jpeg, "a PNG image although it is named .JPEG"),
    ("print.jpg", cmyk, "a CMYK JPEG, which is not supported; convert it to RGB"),
]


@pytest.mark.parametrize(("name", "spoil", "fault"), BAD_FILES, ids=[name for name, *_ in BAD_FILES])
def test_bad_file_is_refused_by_name_and_reason(millrace, source, name, spoil, fault):
    spoil(source / "cat" / name)
    message = refuses(millrace, source, 1, ["1 of 13 files cannot be used", "--on-bad repair or skip", f"{source}/cat/{name}: "])
    assert fault in message


def test_bad_files_are_all_left_out_and_reported_when_asked(millrace, source):
    for name, spoil, _ in BAD_FILES:
        spoil(source / "cat" / name)
    result = millrace.done("convert", "--from", source, "--to", "to", "--on-bad", "skip", "--json")
    assert result.json()["records"] == 12
    assert result.json()["left_out"] == len(BAD_FILES)
    report = json.loads((millrace.folder / "to/report.json").read_text())["train"]["bad"]
    assert {entry["file"]: entry["action"] for entry in report} == {
        f"{source}/cat/{name}": "left out" for name, *_ in BAD_FILES
    }
    for name, _, fault in BAD_FILES:
        assert any(name in entry["file"] and fault in entry["fault"] for entry in report), name
    millrace.done("verify", "to")


def test_bad_files_are_repaired_where_that_is_possible(millrace, source):
    for name, spoil, _ in BAD_FILES:
        spoil(source / "cat" / name)
    result = millrace.done("convert", "--from", source, "--to", "to")
    assert "16 records" in result.out
    assert "4 bad files were left out" in result.out and "4 files were not stored as they came" in result.out
    report = json.loads((millrace.folder / "to/report.json").read_text())["train"]
    assert sorted(entry["file"].rsplit("/", 1)[1] for entry in report["bad"]) == [
        "empty.jpg", "gone.jpg", "page.jpg", "text.jpg"]
    assert {entry["file"].rsplit("/", 1)[1]: entry["action"] for entry in report["changed"]} == {
        "cut.jpg": "the pixels are what libjpeg makes of it", "spoilt.jpg": "the pixels are what libjpeg makes of it",
        "picture.JPEG": "stored as a gray PNG without loss", "print.jpg": "stored as a gray PNG without loss"}
    assert report["repairs"] == {"truncated": 1, "corrupt": 1, "cmyk": 1, "other format": 1, "trailing bytes": 0,
                                 "EXIF orientation": 0, "arithmetic coding": 0}
    millrace.done("verify", "to")


def test_more_bad_files_than_fit_are_counted_and_point_to_the_report(millrace, source):
    for number in range(15):
        (source / "dog" / f"bad{number:02}.jpg").write_bytes(b"")
    message = refuses(millrace, source, 1, ["15 of 27 files cannot be used", "and 5 more, listed in", "to/report.json"])
    assert len(message.splitlines()) == 12
    assert len(json.loads((millrace.folder / "to/report.json").read_text())["train"]["bad"]) == 15


def test_files_that_are_no_pictures_are_passed_over_and_told(millrace, source):
    (source / "cat" / "notes.txt").write_text("hello")
    (source / "README").write_text("hello")
    result = millrace.done("convert", "--from", source, "--to", "to")
    assert "2 files that are not pictures were passed over" in result.out
    assert "12 records" in result.out


def test_names_beyond_ascii_survive_to_the_end(millrace, tmp_path):
    write_pictures(tmp_path / "写真", 3, seed=4, names=["Käse Δ", "猫"])
    (tmp_path / "写真/猫/000.jpg").rename(tmp_path / "写真/猫/ねこ 😀.jpg")
    millrace.done("convert", "--from", tmp_path / "写真", "--to", "データ")
    millrace.done("verify", "データ")
    classes = millrace.done("inspect", "データ", "--json").json()["classes"]
    assert [entry["name"] for entry in classes] == ["Käse Δ", "猫"]
    shown = "".join(millrace.done("inspect", "データ", "--sample", number).out for number in range(6))
    assert "猫/ねこ 😀.jpg" in shown
    recipe = tmp_path / "rezept-ü.toml"
    recipe.write_text("""
        [data.train]
        ops = [{ op = "random_resized_crop", size = 8 }]
        [data.val]
        split = "train"
        ops = [{ op = "resize", width = 8, height = 8 }]
        [batch]
        per_device = 6
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
        """)
    millrace.done("train", recipe, "--data", "データ", "--out", "läufe/eins")
    weights = next((tmp_path / "läufe/eins/checkpoints").iterdir())
    assert "猫" in millrace.done("eval", recipe, "--data", "データ", "--weights", weights).out


def test_file_name_that_is_no_text_is_converted(millrace, source):
    os.rename(source / "cat/000.jpg", bytes(source) + b"/cat/\xe4.jpg")
    (source / "cat/001.jpg").write_bytes(b"")
    millrace.refuses(1, "convert", "--from", source, "--to", "to", "--on-bad", "fail", says="cat/001.jpg: an empty file")
    millrace.done("convert", "--from", source, "--to", "to", "--on-bad", "skip")
    millrace.done("verify", "to")
    spoilt = max((source.parent / "to").glob("*.lmdb"))
    spoilt.write_bytes(spoilt.read_bytes().replace(b"\xff\xda", b"\xff\xdb"))
    found = millrace("verify", "to", "--json")
    assert found.code == 1 and any("cat/\ufffd.jpg" in problem["what"] for problem in found.json()["problems"])


def test_dataset_and_run_in_folders_that_are_no_text_work(millrace, tiny_recipe, own_dataset):
    data, run = os.fsencode(own_dataset) + b"\xe4", os.fsencode(millrace.folder) + b"/run\xe4"
    os.rename(own_dataset, data)
    told = millrace.done("train", tiny_recipe, "--data", os.fsdecode(data), "--out", os.fsdecode(run), "--json",
                         "--set", "train.max_steps=1").json()
    assert told["step"] == 1
    assert "own\ufffd" in json.loads(open(run + b"/environment.json").read())["dataset"]


def test_class_name_that_is_no_text_is_refused(millrace, source):
    os.rename(source / "cat", bytes(source) + b"/K\xe4se")
    refuses(millrace, source, 1, ["is not UTF-8", "rename it"])


def test_second_split_with_an_unknown_class_is_refused_and_leaves_the_first(millrace, own_dataset, source):
    with untouched(own_dataset):
        millrace.refuses(1, "convert", "--from", source, "--to", own_dataset, "--split", "test",
                         says=['the class "cat"', str(source), f"the 3 classes of {own_dataset}/manifest.json"])


def test_split_made_from_other_files_is_not_written_over(millrace, own_dataset, tmp_path):
    write_pictures(tmp_path / "other", 6, seed=5)
    with untouched(own_dataset):
        millrace.refuses(1, "convert", "--from", tmp_path / "other", "--to", own_dataset,
                         says=[f"{own_dataset}/manifest.json", 'the split "train"', "convert into another folder"])


def test_destination_that_cannot_be_made_is_refused(millrace, source, tmp_path):
    (tmp_path / "file").write_text("hello")
    with untouched(tmp_path):
        millrace.refuses(1, "convert", "--from", source, "--to", "file/data", says="cannot create the folder file/data")
        millrace.refuses(1, "convert", "--from", source, "--to", "file", says="file")
