"""The notebooks, executed from top to bottom as Jupyter does."""

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy
import pytest
from PIL import Image
from support import metrics

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


class Executed:
    """What a notebook's cells gave: all that they printed, and their plots."""

    def __init__(self, notebook, folder):
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        assert not [output for output in outputs if output.get("name") == "stderr"]
        self.text = "".join(output.text for output in outputs if output.output_type == "stream")
        self.plots = [Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
                      for output in outputs if "image/png" in output.get("data", {})]
        assert len(self.plots) == sum(cell.source.count("plt.show()") for cell in notebook.cells)
        for plot in self.plots:
            assert numpy.asarray(plot.convert("L")).std() > 5, "a blank plot"
        (self.folder,) = folder.glob("millrace-*")

    def numbers(self, pattern):
        """What the pattern's groups matched, one entry for each match; numbers where they are."""
        found = [match.groups() for match in re.finditer(pattern, self.text, re.MULTILINE)]
        assert found, f"{pattern} is not in:\n{self.text}"
        return [tuple(float(part) if part[0].isdigit() else part for part in match) for match in found]


@pytest.fixture(scope="module")
def fonts(tmp_path_factory):
    """matplotlib's folder, with the list of fonts that it makes at first and talks of where that takes long."""
    folder = tmp_path_factory.mktemp("matplotlib")
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], check=True, capture_output=True,
                   env={**os.environ, "MPLCONFIGDIR": str(folder)})
    return folder


@pytest.fixture
def execute(path, fonts, tmp_path, monkeypatch):
    """A function that executes a notebook with these variables in its environment."""
    for variable in ("TMPDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("MPLCONFIGDIR", str(fonts))
    monkeypatch.setenv("MILLRACE", str(path))

    def run(name, **variables):
        for variable, value in variables.items():
            monkeypatch.setenv(variable, str(value))
        notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
        nbclient.NotebookClient(notebook, timeout=180, kernel_name="python3",
                                resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
        return Executed(notebook, tmp_path)

    return run


@pytest.mark.parametrize("name", NAMES)
def test_kept_notebook_teaches_and_has_no_outputs(name):
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    nbformat.validate(notebook)
    kinds = [cell.cell_type for cell in notebook.cells]
    for before, cell in zip([None, *kinds], notebook.cells):
        if cell.cell_type == "code":
            assert before == "markdown", f"no text before:\n{cell.source}"
            assert not cell.outputs and cell.execution_count is None
    assert f"]({name})" in (NOTEBOOKS / "README.md").read_text()


def test_augmented_pictures_of_a_made_up_set(execute):
    done = execute("augmented-pictures.ipynb")
    assert "3 classes\n" in done.text
    assert "train: 90 pictures, " in done.text and "val: 30 pictures, " in done.text
    assert len(done.plots) == 4
    (gentle,), (strong,) = done.numbers(r"gentle: ([\d.]+) %"), done.numbers(r"strong: ([\d.]+) %")
    assert 0 < gentle[0] < strong[0] < 100
    with Image.open(done.folder / "sample.jpg") as sample:
        assert done.numbers(r"decoded as (\d+) x (\d+) pixels") == [sample.size]


def test_profile_tells_the_verdict_and_three_rates(execute, dataset):
    done = execute("profile.ipynb", MILLRACE_DATA=dataset, MILLRACE_SECONDS=0.3)
    assert re.match(rf".*on {dataset}\n[a-z_ ]+-bound: .*\n.+\n", done.text)
    rates = dict(done.numbers(r"^(.+): (\d+) images/s$"))
    assert list(rates) == ["whole graph", "feed alone", "train step alone"] and min(rates.values()) > 0
    assert len(done.numbers(r"(.+): augment takes (\d+) us a picture")) == 3
    assert len(done.plots) == 3


def test_runs_are_the_same_or_part_where_compare_says(execute, dataset):
    done = execute("compare-runs.ipynb", MILLRACE_DATA=dataset)
    ends = {name: values for name, *values in done.numbers(r"(.+): top-1 ([\d.]+) % of (\d+) pictures, loss ([\d.]+)")}
    assert list(ends) == ["first", "again", "another seed"]
    assert ends["first"] == ends["again"] and ends["first"][2] != ends["another seed"][2]
    last = [line for line in metrics(done.folder / "first") if line["group"] == "val"][-1]
    assert ends["first"] == [round(100 * last["top1"], 1), last["samples"], round(last["loss"], 4)]
    assert re.search(r"first and again:\nthe same run: \d+ steps", done.text)
    assert re.search(r"first and another seed:\n(?!the same run)(.|\n)*seed", done.text)
    assert len(done.plots) == 2
