"""A training whose server is killed in its midst and started again a minute later, beside other tests."""

import concurrent.futures
import json
import signal
import subprocess
import time
from pathlib import Path

from support import make_training, wait_until

SECONDS = 60


class Outage:
    """Begins at once. The training is interrupted after the outage, then it goes on and ends well."""

    project = "outage"

    def __init__(self, server, program, dataset):
        self.server, self.program = server, program
        self.run, self.said, self.command_line = program.folder / "run", "", b""
        make_training(program.folder, dataset)
        pool = concurrent.futures.ThreadPoolExecutor(1)
        self.passing = pool.submit(self.pass_by)
        pool.shutdown(wait=False)

    def wait(self):
        """Returns when all is over, and has found no fault."""
        self.passing.result(timeout=300)
        return self

    def end(self):
        concurrent.futures.wait([self.passing])
        self.server.kill()

    def pass_by(self):
        self.server.start()
        arguments = ["train", "recipe.toml", "--data", "data", "--out", "run"]
        for setting in ("train.epochs=1000000", "train.validate_every_epochs=100", "train.log_every_steps=20"):
            arguments += ["--set", setting]
        process = subprocess.Popen(
            ["nice", "-n", "19", self.program.path, *arguments], cwd=self.program.folder, env=self.program.environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: self.server.has_some_of(self.project))
            self.command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            self.server.kill()
            time.sleep(SECONDS)
            self.server.start()
            process.send_signal(signal.SIGINT)
            _, self.said = process.communicate(timeout=120)
            assert process.returncode == 3, self.said
        finally:
            process.kill()
            process.wait()
        last = json.loads((self.run / "metrics.jsonl").read_text().splitlines()[-1])
        self.said += self.program.done(*arguments, "--resume", "auto", "--set", f"train.max_steps={last['step'] + 50}").stderr
