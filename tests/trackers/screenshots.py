#!/usr/bin/env python3
"""Pictures of what the trackers' own pages and its report show of a run, for the documentation.

Trains twice on made-up pictures, telling MLflow's real server of one run and Polyaxon's of the other, and has headless
Chromium draw the pages of TensorBoard, MLflow and Polyaxon and the first run's report. The pictures are made small: fewer colours, half the size.

Usage: screenshots.py --millrace PROGRAM --tensorboard PROGRAM --scratch FOLDER --out FOLDER [--only NAME...]
"""

import argparse
import dataclasses
import io
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from browser import Browser
from conftest import MlflowServer, PolyaxonServer
from PIL import Image
from support import Program

RECIPE = """
name = "made-up-pictures"
[data.train]
ops = [{ op = "random_resized_crop", size = 64, scale = [0.35, 1.0] }, { op = "horizontal_flip" }]
[data.val]
ops = [{ op = "resize", size = 73 }, { op = "center_crop", size = 64 }]
[batch]
per_device = 32
[model]
name = "resnet18"
width = 16
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.05
momentum = 0.9
[schedule]
name = "one_cycle"
[train]
epochs = 8
"""
MOST_BYTES = 60_000
# Over MLflow's charts, where the pointer is; here everywhere.
NO_BARS = ".modebar-container { display: none }"
# A report's figures, curves and hardest samples; more would make the picture too high. Paths are this machine's.
FIRST_PARTS = """nav, header p + p, #classes, #mistakes, #environment, #recipe, #samples > p, #samples h3:nth-of-type(2) ~ *
{ display: none }"""


class PolyaxonWithPages(PolyaxonServer):
    """Whose pages come from its package, not from the network."""

    def variables(self):
        import haupt

        return {**super().variables(), "POLYAXON_UI_OFFLINE": "true", "POLYAXON_UI_IN_SANDBOX": "true",
                "POLYAXON_STATIC_ROOT": str(Path(haupt.__file__).parent / "static")}


class TensorBoard:
    def __init__(self, program, logs, log):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.process = subprocess.Popen([program, "--logdir", logs.name, "--port", self.uri.rpartition(":")[2]], cwd=logs.parent,
                                        stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if b"val" in urllib.request.urlopen(f"{self.uri}/data/plugin/scalars/tags", timeout=5).read():
                    return
            except OSError:
                pass
            time.sleep(0.2)
        sys.exit("TensorBoard does not start")


@dataclasses.dataclass
class Page:
    url: str
    width: int
    height: int
    holds: str  # a text that is there when the page is
    prepare: Callable[[Browser], None] | None = None
    style: str = ""


def close_assistant(browser):
    """A pane that MLflow opens beside its pages."""
    browser.value("""document.querySelector('[aria-label="Close"]')?.click()""")


def show_last_picture(browser):
    """Moves the slider of MLflow's last picture to its last step and opens it in full screen. The page is so high because
    MLflow draws only what is in sight."""
    close_assistant(browser)
    slider = "[...document.querySelectorAll('[role=slider]')].at(-1)"
    browser.until(lambda: browser.value(f"{slider} !== undefined"), "MLflow shows no pictures")
    browser.click(f"{slider}.parentElement.parentElement", across=0.99)
    browser.click(f"(function tile(part) {{ return part.querySelector('button') || tile(part.parentElement); }})({slider})")
    browser.resize(1440, 1400)


def show_actual_size(browser):
    browser.click("""(function find(node) {
        for (const child of node.querySelectorAll("*")) {
            if (child.tagName === "PAPER-CHECKBOX" && child.textContent.includes("actual image size")) return child;
            const found = child.shadowRoot && find(child.shadowRoot);
            if (found) return found;
        }
        return null;
    })(document)""")


def draw(page, browser, path):
    browser.open(page.url, page.width, page.height)
    if page.style:
        browser.value(f"document.head.appendChild(document.createElement('style')).textContent = {json.dumps(page.style)}")
    browser.wait(page.holds)
    if page.prepare is not None:
        page.prepare(browser)
        browser.wait(page.holds)
    full = Image.open(io.BytesIO(browser.picture())).convert("RGB")
    for share, colours in ((0.625, 128), (0.625, 64), (0.5, 64), (0.5, 32)):
        size = (round(full.width * share), round(full.height * share))
        picture = full.resize(size, Image.Resampling.LANCZOS)
        picture.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    print(f"{path}: {path.stat().st_size:,} bytes", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("millrace", "tensorboard", "scratch", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--only", nargs="+", help="names of pages")
    arguments = parser.parse_args()
    scratch, build = arguments.scratch.absolute(), arguments.millrace.absolute().parent
    scratch.mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (scratch / "recipe.toml").write_text(RECIPE)
    program = Program(build, scratch)
    if not (scratch / "data/manifest.json").exists():
        for split, images in (("train", 1600), ("val", 200)):
            program.done("synth", "--to", f"pictures-{split}", "--images", images, "--classes", 10)
            program.done("convert", "--from", f"pictures-{split}", "--to", "data", "--split", split, "--resize-short", 96,
                         "--quality", 90)
    servers = []
    for kind, name in ((MlflowServer, "mlflow"), (PolyaxonWithPages, "polyaxon")):
        folder = scratch / name
        folder.mkdir(exist_ok=True)
        servers.append(kind(folder))
    mlflow, polyaxon = servers
    board = browser = None
    try:
        for server in servers:
            server.start()
        if not (scratch / "runs/lr-0.1/log.txt").exists():
            for server in servers:
                server.kill()
                shutil.rmtree(server.folder)
                server.folder.mkdir()
                server.start()
            shutil.rmtree(scratch / "runs", ignore_errors=True)
            for out, lr, variables in (
                    ("runs/lr-0.05", 0.05, {"MLFLOW_TRACKING_URI": mlflow.uri, "MLFLOW_EXPERIMENT_NAME": "millrace"}),
                    ("runs/lr-0.1", 0.1, {"POLYAXON_HOST": polyaxon.uri, "POLYAXON_PROJECT": "default/millrace"})):
                program.environment = {**program.environment, **variables}
                program.done("train", "recipe.toml", "--data", "data", "--out", out, "--set", f"optimizer.lr={lr}")
                program.environment = Program(build, scratch).environment
        run, job = mlflow.run("millrace"), polyaxon.run("millrace")
        with (scratch / "tensorboard.log").open("w") as log:
            board = TensorBoard(arguments.tensorboard.absolute(), scratch / "runs", log)
        of_run = f"{mlflow.uri}/#/experiments/{run['info']['experiment_id']}/runs/{run['info']['run_id']}"
        of_job = f"{polyaxon.uri}/ui/default/millrace/runs/{job['uuid']}"
        pages = {
            "tensorboard-scalars": Page(
                f"{board.uri}/#scalars&tagFilter=supervised%7Clr%7CThrough%7Cvalidation&_smoothingWeight=0", 1440, 1040,
                "validation/samples"),
            "tensorboard-images": Page(f"{board.uri}/#images&tagFilter=predictions", 1720, 850, "predictions_with_gt",
                                       show_actual_size),
            "tensorboard-hparams": Page(f"{board.uri}/#hparams", 1440, 500, "optimizer.lr"),
            "mlflow-charts": Page(f"{of_run}/model-metrics", 1440, 1400, "Throughput", close_assistant, NO_BARS),
            "mlflow-system": Page(f"{of_run}/system-metrics", 1440, 1000, "cpu_utilization_percentage", close_assistant,
                                  NO_BARS),
            "mlflow-pictures": Page(f"{of_run}/model-metrics", 1440, 3000, "predictions_with_gt", show_last_picture, NO_BARS),
            # Six metrics, whichever the server names first; all have a __ where the tag has a /.
            "polyaxon-dashboard": Page(f"{of_job}/dashboards", 1440, 1100, "__"),
            "polyaxon-resources": Page(f"{of_job}/resources", 1440, 800, "cpu_utilization"),
            "report": Page((scratch / "runs/lr-0.05/report.html").as_uri(), 1280, 1400, "finished", style=FIRST_PARTS),
        }
        browser = Browser(scratch / "chromium")
        for name, page in pages.items():
            if arguments.only is None or name in arguments.only:
                draw(page, browser, arguments.out / f"{name}.png")
    finally:
        for server in servers:
            server.kill()
        if board is not None:
            board.process.terminate()
        if browser is not None:
            browser.close()


if __name__ == "__main__":
    main()
