"""Sets the sides of growing pictures beside FFCV's: what get_resolution() of its ImageNet script comes to with numpy.

Runs `progressive_judge` (tests/support/progressive_main.cc) of the build named by MILLRACE_BUILD (default build/release).
"""

import random
import subprocess

import numpy as np


def ffcv(start, begin, end, step, largest, epoch):
    if epoch <= begin:
        return start
    if epoch >= end:
        return largest
    between = np.interp([epoch], [begin, end], [start, largest])[0]
    return int(np.round(between / step)) * step


def sides(build, cases):
    lines = "".join(" ".join(map(str, case)) + "\n" for case in cases)
    judge = build / "tests/pipeline/progressive_judge"
    done = subprocess.run([judge], input=lines, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_every_epoch_of_ffcvs_recipes(build):
    # Its rn50_configs: 160 to 192 pixels, epochs of the ramp for 16 to 88 epochs in all.
    cases = [(160, begin, end, 32, 192, epoch) for begin, end in [(11, 13), (17, 20), (23, 27), (29, 34), (41, 48), (65, 76)]
             for epoch in range(90)]
    assert sides(build, cases) == [ffcv(*case) for case in cases]


def test_many_ramps(build):
    draw = random.Random(18)
    cases = []
    for _ in range(100_000):
        step = draw.choice([1, 2, 4, 7, 8, 16, 32, 64])
        start = step * draw.randint(1, 40)
        begin = draw.randint(0, 90)
        end = begin + draw.randint(1, 120)
        cases.append((start, begin, end, step, start + step * draw.randint(1, 40), draw.randint(max(0, begin - 2), end + 2)))
    # Where numpy's doubles miss the middle of two multiples, ours do.
    cases.append((16, 24, 50, 16, 448, 37))
    wanted = [ffcv(*case) for case in cases]
    assert sides(build, cases) == wanted
    assert len(set(wanted)) > 300
