#!/usr/bin/env python3
"""Fails on any `#include` or link that goes against the arrows of docs/design.md, and on files that no CMakeLists names.

    tools -> pipeline -> stages -> {storage, model} -> base        pipeline -> tracking -> base

Rules, each with the sentence that a violation prints:
  folders     A folder includes from itself and from whatever its arrows reach. tests/<folder>/ may include what <folder>
              may, and tests/; the other folders of tests/ are free.
  stages      A stage (STAGES below: what the graph has a node for) is included by nobody in stages/ but its own files
              (stages/copy.h by stages/copy*.cc). sample.h, geometry.h, image.h and the kernels are for every stage.
  libraries   A third-party header is included only where LIBRARIES allows it.
  links       A folder's CMakeLists.txt names only millrace libraries that its arrows reach.
  registered  Every .cc is named in the CMakeLists.txt beside it, or as <folder>/<file> in another one: a test that
              nothing builds checks nothing.

Usage: check_layers.py [ROOT]
"""

import re
import sys
from pathlib import Path

ARROWS = {
    "base": [],
    "storage": ["base"],
    "model": ["base"],
    "tracking": ["base"],
    "stages": ["storage", "model"],
    "pipeline": ["stages", "tracking"],
    "tools": ["pipeline"],
}

STAGES = ["read", "decode", "augment", "collate", "copy", "train_step"]

# What an #include begins with -> the path prefixes that may have it. tests/ are added by allowed_prefixes().
LIBRARIES = {
    "oneTBB": (("tbb/", "oneapi/"), ("pipeline/",)),
    "LMDB": (("lmdb.h",), ("storage/",)),
    "FlatBuffers": (("flatbuffers/",), ("storage/",)),
    "libarchive": (("archive.h", "archive_entry.h"), ("storage/", "pipeline/convert")),
    "matio": (("matio.h",), ("storage/",)),
    "libjpeg-turbo": (("jpeglib.h", "jerror.h", "turbojpeg.h"), ("stages/", "storage/")),
    "libpng": (("png.h",), ("base/png_encoder", "storage/", "tracking/")),
    "FreeType": (("ft2build.h", "freetype/"), ("tracking/lettering",)),
    "Protobuf": (("google/protobuf/", "tracking/journal.pb.h", "tracking/tensorboard.pb.h"), ("tracking/",)),
    "libcurl": (("curl/",), ("tracking/http",)),
    "Highway": (("hwy/",), ("stages/",)),
    "CUDA": (("cuda", "nvrtc.h"), ("base/gpu/", "model/gpu/", "stages/gpu/", "stages/copy_to_cuda", "pipeline/cuda_")),
    "NVTX": (("nvtx3/",), ("pipeline/nvtx_",)),
    "LibTorch": (("torch/", "ATen/", "c10/", "nccl"),
                 ("model/", "stages/device_batch", "stages/copy", "stages/mix", "stages/train_step", "pipeline/trainer",
                  "pipeline/cuda_", "pipeline/lane", "pipeline/evaluation", "pipeline/step_check", "pipeline/prediction_pictures_test", "pipeline/record_evaluation_test", "pipeline/weight_histograms")),
    "CLI11": (("CLI/",), ("tools/",)),
}

# Tests of these kinds look at the whole program and may use any library.
FREE_TESTS = ("tests/bench/", "tests/e2e/", "tests/fuzz/", "tests/gpu/", "tests/support/", "tests/tsan/")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
LINK = re.compile(r"\bmillrace_(%s)\b" % "|".join(ARROWS))


def reachable(folder: str) -> list[str]:
    """The folder itself and everything below it, in the order of the arrows."""
    found = [folder]
    for name in found:
        found += [below for below in ARROWS[name] if below not in found]
    return found


def mirrored(path: str) -> str:
    """The path whose rules apply: tests/storage/x_test.cc follows those of storage/x_test.cc."""
    match = re.match(r"tests/(%s)/(.*)" % "|".join(ARROWS), path)
    return f"{match[1]}/{match[2]}" if match else path


def check_include(path: str, header: str) -> str | None:
    """The complaint about `path` including `header`, or None."""
    rules_path = mirrored(path)
    folder = rules_path.split("/")[0]
    top = header.split("/")[0] if "/" in header else None
    if folder in ARROWS and top in ARROWS and top not in reachable(folder):
        return f"{folder}/ may include only from {', '.join(reachable(folder))}"
    if folder in ARROWS and top == "tests" and not path.startswith("tests/"):
        return "only tests may include from tests/"
    if path.startswith("stages/"):
        for stage in STAGES:
            if header == f"stages/{stage}.h" and not path.startswith(f"stages/{stage}"):
                return f"a stage is unaware of its neighbours: {header} is for stages/{stage}* and for pipeline/"
    if path.startswith(FREE_TESTS):
        return None
    for library, (beginnings, places) in LIBRARIES.items():
        if top not in ARROWS and header.startswith(beginnings) and not rules_path.startswith(places):
            return f"{library} is only for {', '.join(places)}"
    return None


def is_named(source: Path, lists: dict[Path, str]) -> bool:
    """Whether one of `lists` (CMakeLists.txt -> text) builds `source`."""
    beside = re.compile(r"(?<![\w./-])%s(?![\w.-])" % re.escape(source.name))
    elsewhere = re.compile(r"(?<![\w.-])%s/%s(?![\w.-])" % (re.escape(source.parent.name), re.escape(source.name)))
    return any(elsewhere.search(text) or (path.parent == source.parent and beside.search(text))
               for path, text in lists.items())


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def check_tree(root: Path) -> list[str]:
    """All complaints, as `path:line: text`."""
    complaints = []
    sources = [path for top in [*ARROWS, "tests"] for path in sorted((root / top).rglob("*"))
               if path.suffix in (".h", ".cc")]
    lists = {path: path.read_text(encoding="utf-8") for top in [*ARROWS, "tests"]
             for path in (root / top).rglob("CMakeLists.txt")}
    for source in sources:
        path = source.relative_to(root).as_posix()
        text = source.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            complaint = check_include(path, match[2])
            if complaint:
                complaints.append(f"{path}:{line_of(text, match.start())}: {match[2]}: {complaint}")
        if source.suffix == ".cc" and not is_named(source, lists):
            complaints.append(f"{path}:1: named in no CMakeLists.txt, so nothing builds it")
    for folder in ARROWS:
        text = lists.get(root / folder / "CMakeLists.txt", "")
        for match in LINK.finditer(text):
            if match[1] not in reachable(folder):
                complaints.append(f"{folder}/CMakeLists.txt:{line_of(text, match.start())}: {match[0]}: "
                                  f"{folder}/ may link only {', '.join(reachable(folder))}")
    return complaints


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    complaints = check_tree(root)
    for complaint in complaints:
        print(complaint)
    if complaints:
        print(f"{len(complaints)} against the arrows of docs/design.md (the rules are in cmake/check_layers.py)")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
