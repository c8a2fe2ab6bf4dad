"""Adds up the JUnit files of a folder and prints `N passed, N failed, N skipped`. Usage: count_tests.py FOLDER

A test of ctest's is a suite of GoogleTest's, of which each case counts."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

CASE = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] .*\(\d+ ms\)$", re.MULTILINE)
STATUS = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}


def count(test: ElementTree.Element) -> Counter:
    cases = Counter(STATUS[word] for word in CASE.findall(test.findtext("system-out") or ""))
    failed = test.find("failure") is not None or test.find("error") is not None
    if failed and not cases["failed"]:
        cases["failed"] = 1  # it ended before it could say so
    if not cases:
        cases["passed" if test.find("skipped") is None else "skipped"] = 1
    return cases


def main() -> None:
    sums = Counter()
    for path in sorted(Path(sys.argv[1]).glob("*.xml")):
        for test in ElementTree.parse(path).getroot().iter("testcase"):
            sums += count(test)
    print(", ".join(f"{sums[status]} {status}" for status in STATUS.values()))


if __name__ == "__main__":
    main()
