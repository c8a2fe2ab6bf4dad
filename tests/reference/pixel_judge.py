"""What the judges of pixels share: the program preprocess_judge, the real pictures, and its random numbers."""

import os
import pathlib
import subprocess
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("MILLRACE_BUILD", "build/release")
DATA = pathlib.Path(os.environ.get("MILLRACE_TEST_DATA", ROOT / "../shared/data"))
JUDGE = BUILD / "tests/stages/preprocess_judge"


def run(arguments, requests):
    """The judge's standard output for these lines, or bytes, of standard input."""
    text = requests if isinstance(requests, bytes) else "".join(line + "\n" for line in requests).encode()
    done = subprocess.run([JUDGE, *arguments], input=text, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def unpack(archive, count, folder):
    """Paths of the first `count` JPEGs of a tar, spread over its classes, unpacked to `folder`."""
    with tarfile.open(archive) as tar:
        members = sorted((m for m in tar.getmembers() if m.name.lower().endswith((".jpeg", ".jpg"))), key=lambda m: m.name)
        step = max(1, len(members) // count)
        chosen = members[::step][:count]
        assert len(chosen) == count
        for index, member in enumerate(chosen):
            path = folder / f"{index}.jpeg"
            path.write_bytes(tar.extractfile(member).read())
            yield path


class Stream:
    """RandomStream of base/random.h, written a second time: Philox4x32-10."""

    def __init__(self, seed, epoch, sample, op):
        self.key = (seed & 0xFFFFFFFF, seed >> 32)
        self.counter = [op << 16, epoch, sample & 0xFFFFFFFF, sample >> 32]
        self.block = []

    def next(self):
        if not self.block:
            c, (k0, k1) = list(self.counter), self.key
            for _ in range(10):
                p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
                c = [p1 >> 32 ^ c[1] ^ k0, p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
                k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
            self.counter[0] += 1
            self.block = c
        return self.block.pop(0)

    def uniform(self):
        high = self.next() >> 5
        return (high << 26 | self.next() >> 6) * 2.0**-53

    def below(self, bound):
        while True:
            product = self.next() * bound
            if product & 0xFFFFFFFF >= (1 << 32) % bound:
                return product >> 32
