"""Adds up the JUnit files of a folder and prints `N passed, N failed, N skipped`. Usage: count_tests.py FOLDER"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def main() -> None:
    total, failed, skipped = 0, 0, 0
    for path in sorted(Path(sys.argv[1]).glob("*.xml")):
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            total += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0)) + int(suite.get("disabled", 0))
    print(f"{total - failed - skipped} passed, {failed} failed, {skipped} skipped")


if __name__ == "__main__":
    main()
