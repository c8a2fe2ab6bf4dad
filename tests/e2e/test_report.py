"""report.html of a run: what the run told, on a page that a strict reader takes."""

import json
import shutil
from pathlib import Path

import pytest
from page import Page
from support import checkpoints, metrics, same_runs, untouched

SECTIONS = {"curves", "classes", "mistakes", "samples", "environment", "recipe"}


def pictures(page, section="samples"):
    return [figure for figure in page.figures if figure["section"] == section and "picture" in figure]


@pytest.fixture
def run(straight, millrace):
    """A copy of the undisturbed run's folder, to write into."""
    return Path(shutil.copytree(straight, millrace.folder / "run", ignore=shutil.ignore_patterns("*.safetensors")))


def test_report_shows_what_the_run_told(straight):
    page = Page(straight / "report.html")
    assert page.ids >= SECTIONS
    lines = metrics(straight)
    evaluations = [line for line in lines if line["group"] == "val"]
    best = max(evaluations, key=lambda line: (line["top1"], -line["step"]))
    which = "best and last" if best is evaluations[-1] else "best"
    for rate in ("top1", "top5"):
        value = page.cards[None][f"{which} {rate[:3]}-{rate[3:]}"]
        assert value.startswith(f"{100 * best[rate]:.2f} %epoch {best['epoch']}; ")
    tips = page.tooltips()
    for line in lines:
        if line["group"] == "train":
            assert any(tip.startswith(f"step {line['step']}, epoch {line['epoch']}: training {line['loss']:.4g}") for tip in tips)
            assert f"step {line['step']}, epoch {line['epoch']}: learning rate {line['lr']:.4g}" in tips
    for line in evaluations:
        accuracies = f"validation top-1 {100 * line['top1']:.2f} %, validation top-5 {100 * line['top5']:.2f} %"
        assert f"step {line['step']}, epoch {line['epoch']}: {accuracies}" in tips
    steps = [line["step"] for line in lines if line["group"] == "train"]
    assert f" at step {steps[-1]} of {steps[-1]}; began " in page.text
    assert ("b", "finished") in page.texts
    assert (straight / "config.toml").read_text() in "".join(text for tag, text in page.texts if tag == "pre")
    environment = json.loads((straight / "environment.json").read_text())
    assert [["dataset_fingerprint", environment["dataset_fingerprint"]]] == [
        row for row in page.rows if row[0] == "dataset_fingerprint"]


def test_report_shows_the_last_evaluation(millrace, straight, dataset):
    """And evaluation.json counts what `eval` counts."""
    record = json.loads((straight / "evaluation.json").read_text())
    counted = millrace.done("eval", straight / "config.toml", "--data", dataset, "--weights", checkpoints(straight)[-1],
                            "--json").json()
    assert (record["samples"], record["top1"], record["top5"]) == tuple(
        counted[key] for key in ("samples", "top1_count", "top5_count"))
    assert [row["samples"] for row in record["classes"]] == [row["samples"] for row in counted["classes"]]
    answers = [row["answers"] for row in counted["classes"]]
    assert [row["right"] for row in record["classes"]] == [row[label] for label, row in enumerate(answers)]
    found = {(pair["label"], pair["answer"]): pair["count"] for pair in record["mistakes"]}
    assert found == {(label, answer): count for label, row in enumerate(answers) for answer, count in enumerate(row)
                     if label != answer and count > 0}

    page = Page(straight / "report.html")
    names = [row["name"] for row in record["classes"]]
    rows = [row for row in page.rows if len(row) == 6 and row[0] in names]
    assert {row[0]: (row[1], row[2]) for row in rows} == {
        row["name"]: (str(row["samples"]), str(row["right"])) for row in record["classes"]}
    shares = [int(row[2]) / int(row[1]) for row in rows]
    assert shares == sorted(shares), "worst first"
    shown = pictures(page)
    assert len(shown) == len(record["hardest"]) + len(record["most_confused"]) == 24
    for figure, answer in zip(shown, record["hardest"] + record["most_confused"]):
        said = names[answer["said"]["label"]]
        assert f"{said} {answer['said']['probability']:.2f}" in figure["captions"][0]
        assert figure["captions"][-1] == f"sample {answer['sample']}, loss {answer['loss']:.2f}"
        assert figure["alt"] == names[answer["truth"]["label"]]


def test_interrupted_run_has_a_report_and_a_resumed_one_is_the_straight_ones(millrace, recipe, dataset, straight):
    run = millrace.folder / "run"
    command = ["train", recipe, "--data", dataset, "--out", "run"]
    assert millrace(*command, "--stop-after", "9").code == 3
    total = metrics(straight)[-1]["step"]
    page = Page(run / "report.html")
    assert ("b", "interrupted") in page.texts and f" at step 9 of {total}; began " in page.text
    assert len(pictures(page)) == 24, "of the evaluation after the first epoch"
    millrace.done(*command, "--resume", "auto")
    page = Page(run / "report.html")
    assert ("b", "finished") in page.texts and ", in 2 parts" in page.text
    same_runs(straight, run)


def test_failed_run_has_a_report_of_what_there_is(millrace, tiny_recipe, dataset):
    message = millrace.refuses(1, "train", tiny_recipe, "--data", dataset, "--out", "run", "--set", "optimizer.lr=1e30",
                               says="the training has diverged")
    page = Page(millrace.folder / "run/report.html")
    assert ("b", "failed") in page.texts
    assert message.removeprefix("millrace: ") in page.text
    assert "The run has not been evaluated yet." in page.text


def test_report_is_written_anew_and_elsewhere(millrace, straight, run):
    written = (run / "report.html").read_bytes().replace(str(straight).encode(), str(run).encode())
    (run / "report.html").unlink()
    assert "run/report.html: a page of " in millrace.done("report", "run").out
    assert (run / "report.html").read_bytes() == written, "the same folder gives the same page"
    with untouched(run):
        millrace.done("report", "run", "--out", "page.html")
    assert (millrace.folder / "page.html").read_bytes() == written
    millrace.refuses(1, "report", millrace.folder, says="is not a run's folder")


def test_report_goes_on_without_the_dataset(millrace, run):
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(environment | {"dataset": "/nowhere"}))
    assert "with 0 pictures" in millrace.done("report", "run").out
    page = Page(run / "report.html")
    assert "There are no pictures: " in page.text and "/nowhere" in page.text
    assert page.ids >= SECTIONS and not pictures(page)


def test_run_without_room_for_a_report_is_done_all_the_same(millrace, tiny_recipe, dataset):
    (millrace.folder / "run/report.html").mkdir(parents=True)  # nothing can be put in its place
    result = millrace.done("train", tiny_recipe, "--data", dataset, "--out", "run", "--set", "train.max_steps=1")
    assert "there is no report of the run: cannot " in result.err
