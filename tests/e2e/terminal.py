"""A terminal of a given width for the program, and what it shows then."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios


class Screen:
    """The lines of a terminal that knows what a progress bar needs: return, newline and erase to the end of line."""

    def __init__(self, columns):
        self.columns, self.lines, self.column, self.redrawn = columns, [""], 0, 0

    def feed(self, text):
        for part in re.findall(r"\x1b\[K|\r\n|\n|\r|[^\x1b\r\n]+|\x1b.?", text):
            if part == "\x1b[K":
                self.lines[-1] = self.lines[-1][: self.column]
            elif part == "\r":
                self.column = 0
                self.redrawn += 1
            elif part in ("\r\n", "\n"):
                self.lines.append("")
                self.column = 0
            else:
                assert not part.startswith("\x1b"), f"an escape code that a simple terminal lacks: {part!r}"
                self.lines[-1] = self.lines[-1][: self.column] + part + self.lines[-1][self.column + len(part):]
                self.column += len(part)
                is_bar = re.search(r"\d%  ", part)
                assert not is_bar or self.column < self.columns, f"wraps at {self.columns} columns: {part}"


def on_a_terminal(millrace, columns, *arguments):
    """Runs a command whose stderr is a terminal of this width and gives what the screen shows."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([millrace.path, *map(str, arguments)], cwd=millrace.folder, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    seen = b""
    while True:
        try:
            block = os.read(leader, 65536)
        except OSError:  # how Linux says that the other side has closed
            break
        if not block:
            break
        seen += block
    os.close(leader)
    process.communicate()
    assert process.returncode == 0, seen.decode()
    screen = Screen(columns)
    screen.feed(seen.decode())
    return screen
