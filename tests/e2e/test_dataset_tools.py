"""convert, verify and inspect as their users meet them."""

import hashlib
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path

import pytest
from page import Page
from PIL import Image, ImageChops, ImageStat
from support import TIME_LIMIT_S, untouched, write_pictures

ROOT = Path(__file__).resolve().parents[2]


def content(dataset):
    """What makes the dataset: name and hash of manifest and shards."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in [dataset / "manifest.json", *dataset.glob("*.lmdb*")]}


@pytest.fixture
def convert(millrace, pictures):
    """A function that converts `pictures` with these options."""

    def run(to, *options, source="train"):
        return millrace.done("convert", "--from", pictures / source, "--to", to, *options)

    run.source = pictures / "train"
    return run


def test_convert_again_does_nothing(millrace, convert):
    convert("data", "--shards", "3")
    with untouched(millrace.folder / "data"):
        result = convert("data", "--shards", "3")
        assert "nothing to do" in result.out
        assert convert("data", "--shards", "3", "--json").json()["nothing_to_do"] is True


def test_jobs_do_not_enter_the_bytes(millrace, convert):
    for jobs in (1, 2, 7):
        convert(f"jobs{jobs}", "--shards", "5", "--jobs", jobs)
    assert content(millrace.folder / "jobs1") == content(millrace.folder / "jobs2") == content(millrace.folder / "jobs7")


def test_seed_and_shards_enter_the_bytes(millrace, convert):
    first = convert("first", "--shards", "3", "--json").json()
    other_seed = convert("seed", "--shards", "3", "--seed", "1", "--json").json()
    other_shards = convert("shards", "--shards", "2", "--json").json()
    assert first["fingerprint"] != other_seed["fingerprint"]
    assert first["fingerprint"] == other_shards["fingerprint"]


def test_several_sources_are_mixed(millrace, pictures):
    told = millrace.done("convert", "--from", pictures / "train", pictures / "val", "--to", "data", "--json").json()
    assert (told["records"], told["classes"], told["left_out"], told["ignored"]) == (165, 3, 0, 0)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_convert_disturbed_goes_on_and_gives_the_same_bytes(millrace, tmp_path, sign):
    write_pictures(tmp_path / "many", 1000, seed=7)
    # So many that it is not over before it is disturbed.
    command = ["convert", "--from", "many", "--shards", "100", "--jobs", "1"]
    process = millrace.start(*command, "--to", "disturbed")
    deadline = time.monotonic() + TIME_LIMIT_S
    while len(list((tmp_path / "disturbed").glob("*.done.json"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
    process.send_signal(sign)
    out, err = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == (-sign if sign == signal.SIGKILL else 3), err
    if sign == signal.SIGTERM:
        assert b"run the same command again to go on" in out
    assert not (tmp_path / "disturbed/manifest.json").exists()
    message = millrace.refuses(1, "verify", "disturbed", says="disturbed")
    assert "convert" in message
    told = millrace.done(*command, "--to", "disturbed", "--json").json()
    assert 3 <= told["shards_kept"] < 100
    millrace.done(*command, "--to", "straight")
    assert content(tmp_path / "disturbed") == content(tmp_path / "straight")


def test_convert_twice_at_once_is_refused(millrace, tmp_path):
    write_pictures(tmp_path / "many", 300, seed=7)
    command = ["convert", "--from", "many", "--to", "data", "--shards", "30", "--jobs", "1"]
    process = millrace.start(*command)
    deadline = time.monotonic() + TIME_LIMIT_S
    while not list((tmp_path / "data").glob(".convert-train/*/*.spool")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
    process.send_signal(signal.SIGSTOP)
    millrace.refuses(1, *command, says=["another conversion is writing into data", "wait for it"])
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 0
    millrace.done("verify", "data")


def test_sample_saved_has_the_pixels_of_the_original_file(millrace, dataset, pictures):
    for split, number in (("train", 0), ("train", 119), ("val", 44)):
        told = millrace.done("inspect", dataset, "--split", split, "--sample", number, "--save", "out.jpg", "--json").json()
        original = pictures / split / told["path"]
        assert Image.open(millrace.folder / "out.jpg").tobytes() == Image.open(original).tobytes()
        assert told["class"] == original.parent.name
        assert (told["width"], told["height"]) == (40, 30)
        assert told["bytes"] == (millrace.folder / "out.jpg").stat().st_size
        assert told["path"] in millrace.done("inspect", dataset, "--split", split, "--sample", number).out


def test_sample_of_a_set_without_region_index_is_the_original_file(millrace, convert, pictures):
    convert("data", "--region-index", "off")
    told = millrace.done("inspect", "data", "--sample", 7, "--save", "out.jpg", "--json").json()
    assert (millrace.folder / "out.jpg").read_bytes() == (pictures / "train" / told["path"]).read_bytes()


def test_pictures_made_smaller_have_the_size_that_was_asked_for(millrace, convert):
    for option, size, expected in (("--resize-short", 15, (20, 15)), ("--max-side", 20, (20, 15))):
        convert(f"data{option}", option, size, "--quality", 80)
        told = millrace.done("inspect", f"data{option}", "--sample", 7, "--save", "out.jpg", "--json").json()
        assert (told["width"], told["height"]) == expected == Image.open(millrace.folder / "out.jpg").size
        millrace.done("verify", f"data{option}")


WORKERS = [
    (["0/2"], ["1/2"], {}, {}),
    (["auto"], ["auto"],
     {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_MAX": "6", "SLURM_ARRAY_TASK_COUNT": "2"},
     {"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_MAX": "6", "SLURM_ARRAY_TASK_COUNT": "2"}),
    (["auto"], ["auto"], {"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}),
    (["auto/2"], ["auto/2"], {"JOB_COMPLETION_INDEX": "0"}, {"JOB_COMPLETION_INDEX": "1"}),
]


@pytest.mark.parametrize(("first", "second", "first_job", "second_job"), WORKERS,
                         ids=["numbers", "slurm-array", "slurm-step", "kubernetes"])
def test_workers_share_a_conversion_and_merging_gives_the_same_bytes(millrace, convert, first, second, first_job, second_job):
    convert("straight", "--shards", "3")
    for worker, job in ((first, first_job), (second, second_job)):
        millrace.environment.update(job)
        result = millrace.done("convert", "--from", convert.source, "--to", "shared", "--worker", *worker)
        assert "of 2: 60 pictures converted" in result.out and "millrace convert --merge --to shared" in result.out
    millrace.refuses(1, "verify", "shared", says="shared")
    told = millrace.done("convert", "--merge", "--to", "shared", "--shards", "3", "--json").json()
    assert told["records"] == 120
    assert content(millrace.folder / "shared") == content(millrace.folder / "straight")


@pytest.mark.parametrize(("split", "sources"), [
    ("train", ["folder", "train-tar/ILSVRC2012_img_train.tar", "webdataset"]),
    ("val", ["folder", "val-tar/ILSVRC2012_img_val.tar"]),
])
def test_layouts_of_synth_give_one_fingerprint(millrace, split, sources):
    prints = set()
    for source in sources:
        layout = source.split("/")[0]
        millrace.done("synth", "--to", layout, "--images", 40, "--classes", 4, "--layout", layout, "--split", split)
        labels = [path for path in (millrace.folder / layout).iterdir() if layout == "val-tar" and path.suffix != ".tar"]
        told = millrace.done("convert", "--from", source, *(["--devkit", labels[0]] if labels else []), "--to",
                             f"data-{layout}", "--split", split, "--json").json()
        assert told["records"] == 40
        prints.add(told["fingerprint"])
    assert len(prints) == 1, prints


def test_sample_beyond_the_end_is_refused_with_the_range(millrace, dataset):
    millrace.refuses(2, "inspect", dataset, "--sample", "120", says=["--sample 120", "0 to 119"])
    millrace.refuses(1, "inspect", dataset, "--split", "test", "--sample", "0", says=['"test"', "train, val"])


def test_inspect_counts_what_is_there(millrace, dataset):
    told = millrace.done("inspect", dataset, "--json").json()
    assert told["splits"]["train"]["records"] == 120 and told["splits"]["val"]["records"] == 45
    assert told["splits"]["train"]["per_class"] == [40, 40, 40]
    assert told["splits"]["train"]["width"] == {"min": 40, "median": 40, "max": 40, "sum": 4800}
    assert [entry["id"] for entry in told["classes"]] == ["class0", "class1", "class2"]
    text = millrace.done("inspect", dataset).out
    assert "train: 120 records in 3 shards" in text and told["fingerprint"] in text


def test_inspect_lists_all_classes_when_asked(millrace, tmp_path):
    names = [f"class{number:02}" for number in range(30)]
    write_pictures(tmp_path / "many", 1, seed=3, names=names)
    write_pictures(tmp_path / "more", 1, seed=4, names=names[7:8])
    millrace.done("convert", "--from", "many", "more", "--to", "data")
    few = millrace.done("inspect", "data").out
    assert "30 classes of 1 to 2 records" in few and "class15" not in few and "--classes" in few
    every = millrace.done("inspect", "data", "--classes").out
    assert re.findall(r"^ +(\d+)  (class\d\d)$", every, re.MULTILINE) == [
        ("2" if name == "class07" else "1", name) for name in names]


@pytest.fixture
def with_a_bad_file(millrace, tmp_path):
    """A dataset of which one file was left out: its folder and the file's name, which is nobody's friend."""
    name = b"\"><img src=x onerror='x'>&amp;\x1b[31m\xff.jpg"
    write_pictures(tmp_path / "from", 2, seed=5, names=["<b>bold", "fish & chips"])
    Path(os.fsdecode(bytes(tmp_path / "from/<b>bold") + b"/" + name)).write_bytes(b"no picture")
    millrace.done("convert", "--from", "from", "--to", "data", "--on-bad", "skip")
    return tmp_path / "data", name


def test_inspect_tells_what_was_left_out(millrace, with_a_bad_file):
    told = millrace.done("inspect", "data", "--json").json()["splits"]["train"]
    assert told["records"] == 4 and told["report"]["bad"]["total"] == 1
    bad, = told["report"]["bad"]["first"]
    assert "onerror='x'" in bad["file"] and bad["action"] == "left out"
    text = millrace.done("inspect", "data").out
    assert "1 file not used" in text and "onerror='x'" in text and bad["fault"] in text
    assert "\x1b" not in text, "a file's name must not steer the terminal"


def test_page_is_well_formed_and_its_pictures_are_the_dataset_s(millrace, dataset):
    told = millrace.done("inspect", dataset, "--html", "page.html").out
    page = Page(millrace.folder / "page.html")
    shown = [figure for figure in page.figures if "picture" in figure]
    # Eight of each of three classes, for two splits.
    assert len(shown) == 48 and "with 48 pictures" in told
    assert len(page.source) < 1 << 20
    for number, split in enumerate(["train", "val"]):
        of_split = [figure for figure in shown if figure["section"] == f"pictures-{number}"]
        assert len(of_split) == 24
        samples = [int(re.search(r"sample (\d+)", " ".join(figure["captions"]))[1]) for figure in of_split]
        assert len(set(samples)) == 24
        for figure, sample in [*zip(of_split, samples)][::5]:
            record = millrace.done("inspect", dataset, "--split", split, "--sample", sample, "--save", "one.jpg",
                                   "--json").json()
            assert figure["picture"] == (millrace.folder / "one.jpg").read_bytes()
            assert figure["title"] == f"{record['path']}, {formatted(record['bytes'])}"
            assert figure["alt"] == record["class"]
            assert figure["captions"] == [record["class"], "40 \u00d7 30", f"sample {sample}"]


def formatted(size):
    """Bytes as the program writes them."""
    return f"{size} B" if size < 1024 else f"{size / 1024:.1f} KiB"


def test_page_has_the_numbers_of_json(millrace, dataset):
    millrace.done("inspect", dataset, "--html", "page.html")
    page = Page(millrace.folder / "page.html")
    told = millrace.done("inspect", dataset, "--json").json()
    assert told["fingerprint"] in page.text
    assert [split["fingerprint"] in page.text for split in told["splits"].values()] == [True, True]
    for number, split in enumerate(told["splits"].values()):
        cards = page.cards[f"split-{number}"]
        assert cards["pictures"] == str(split["records"]) and cards["shards"] == str(split["shards"])
        assert cards["repaired"] == str(split["repaired"]) and cards["not used"] == "0"
    counts = [[int(cell) for cell in row[3:]] for row in page.rows if len(row) == 5 and row[0].isdigit()]
    assert counts == [list(pair) for pair in zip(*(split["per_class"] for split in told["splits"].values()))]
    assert [row[2] for row in page.rows if len(row) == 5 and row[0].isdigit()] == [c["id"] for c in told["classes"]]
    for split in told["splits"].values():
        for kind, count in split["chroma"].items():
            assert [kind, str(count), f"{100 * count / split['records']:.2f} %"] in page.rows
        for name in ("width", "height"):
            for first, last, count in split["histograms"][name]:
                assert f"{first} to {last}: {count}" in page.tooltips()
    assert sum(int(text.rpartition(": ")[2].replace(",", "")) for text in page.tooltips()) == 4 * 165


def test_page_shows_hostile_names_as_text(millrace, with_a_bad_file):
    dataset, name = with_a_bad_file
    millrace.done("inspect", dataset, "--html", "page.html")
    page = Page(millrace.folder / "page.html")
    listed, = [row for row in page.rows if "onerror" in row[0]]
    assert name.decode(errors="replace").replace("\x1b", "\ufffd") in listed[0] and listed[2] == "left out"
    assert page.cards["split-0"]["not used"] == "1"
    assert {"<b>bold", "fish & chips"} == {row[1] for row in page.rows if row[0] in "01"}
    assert {figure["alt"] for figure in page.figures if "alt" in figure} == {"<b>bold", "fish & chips"}


def test_page_is_the_same_each_time_and_replaced_as_a_whole(millrace, dataset):
    millrace.done("inspect", dataset, "--html", "page.html")
    first = (millrace.folder / "page.html").read_bytes()
    (millrace.folder / "page.html").write_text("an older page")
    with untouched(dataset):
        millrace.done("inspect", dataset, "--html", "page.html")
    assert (millrace.folder / "page.html").read_bytes() == first
    assert [path.name for path in millrace.folder.glob("page*")] == ["page.html"]


def test_page_that_finds_no_room_is_refused_and_the_old_one_stays(millrace, dataset):
    (millrace.folder / "page.html").write_text("an older page")
    # As a full disk, for root too: no file may be longer.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))  # noqa: E731
    millrace.refuses(1, "inspect", dataset, "--html", "page.html", says=["page.html"], preexec_fn=limit)
    assert (millrace.folder / "page.html").read_text() == "an older page"
    millrace.refuses(1, "inspect", dataset, "--html", "none/page.html", says=["none/page.html"])
    assert [path.name for path in millrace.folder.glob("*page*")] == ["page.html"]


def test_verify_tells_that_all_is_well(millrace, dataset):
    told = millrace.done("verify", dataset, "--json").json()
    assert told["ok"] is True and told["problems"] == []
    assert (told["splits"], told["shards"], told["records"]) == (2, 4, 165)
    assert "165 records in 4 shards" in millrace.done("verify", dataset, "--quick").out


def test_grid_shows_the_pictures_in_a_png_of_the_right_size(millrace, recipe, dataset):
    millrace.done("inspect", dataset, "--grid", "grid.png", "--config", recipe, "--rows", "3", "--columns", "5")
    with Image.open(millrace.folder / "grid.png") as grid:
        assert grid.format == "PNG" and grid.mode == "RGB"
        # Pictures of 32 pixels with gaps of 2 between them.
        assert grid.size == (5 * 34 - 2, 3 * 34 - 2)
        assert len(grid.getcolors(1 << 20)) > 1000, "there is nothing in the picture"
    first = (millrace.folder / "grid.png").read_bytes()
    millrace.done("inspect", dataset, "--grid", "grid.png", "--config", recipe, "--rows", "3", "--columns", "5")
    assert (millrace.folder / "grid.png").read_bytes() == first


def test_grid_is_a_jpeg_where_its_name_says_so(millrace, recipe, dataset):
    for name in "grid.png", "grid.jpg":
        millrace.done("inspect", dataset, "--grid", name, "--config", recipe, "--rows", "2", "--columns", "3")
    with Image.open(millrace.folder / "grid.png") as png, Image.open(millrace.folder / "grid.jpg") as jpeg:
        assert jpeg.format == "JPEG" and jpeg.size == png.size == (3 * 34 - 2, 2 * 34 - 2)
        difference = ImageStat.Stat(ImageChops.difference(png, jpeg)).mean
    assert 0 < max(difference) < 8, "not the same picture"


def test_every_operation_has_a_picture_in_the_documentation(millrace):
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import augmentation_pictures as pictures
    finally:
        sys.path.pop(0)
    known = pictures.known_operations(millrace.path, millrace.folder)
    assert len(known) >= 30 and known == {name for _, name, _, _ in pictures.operations()}
    assert (ROOT / "docs/augmentations.md").read_text() == pictures.page(), "run ./check augmentations"
    files = {path.name: path for path in (ROOT / "docs/augmentations").iterdir()}
    assert set(files) == {f"{name}.jpg" for name in known}
    assert sum(path.stat().st_size for path in files.values()) < 1_500_000
    for path in files.values():
        with Image.open(path) as picture:
            assert picture.size == (5 * 130 - 2, 2 * 98 - 2), path
    recipe_page = (ROOT / "docs/recipe.md").read_text()
    assert not [name for name in known if f"`{name}`" not in recipe_page]


def test_grid_needs_the_training_split_only(millrace, recipe, convert):
    convert("data")
    millrace.done("inspect", "data", "--grid", "grid.png", "--config", recipe, "--rows", "2", "--columns", "2")
    millrace.refuses(2, "train", recipe, "--data", "data", "--out", "run",
                     says=['data.val.split: is "val", which data does not have', "it has: train"])


def test_grid_without_a_recipe_is_refused(millrace, dataset):
    millrace.refuses(2, "inspect", dataset, "--grid", "grid.png", says=["--grid", "--config"])
