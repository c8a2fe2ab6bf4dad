"""Headless Chromium, driven over its DevTools protocol, to draw pages that scripts make."""

import base64
import json
import subprocess
import time
import urllib.request

import websocket

LIMIT_S = 120


class Browser:
    def __init__(self, folder):
        self.number = 0
        port_file = folder / "DevToolsActivePort"
        port_file.unlink(missing_ok=True)  # an earlier browser's
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0",
             "--remote-allow-origins=*", f"--user-data-dir={folder}", "about:blank"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.until(port_file.is_file, "Chromium does not start")
        with urllib.request.urlopen(f"http://127.0.0.1:{port_file.read_text().split()[0]}/json/list", timeout=LIMIT_S) as answer:
            [page] = [target for target in json.load(answer) if target["type"] == "page"]
        self.socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=LIMIT_S)
        self.call("Page.enable")

    @staticmethod
    def until(condition, complaint):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(complaint)
            time.sleep(0.2)

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def value(self, script):
        """Of an expression, in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, url, width, height):
        self.resize(width, height)
        # The next page may be the same but for what is behind the #.
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.until(lambda: self.value("document.readyState") == "complete" and self.value("location.href") != "about:blank",
                   f"{url} is not there")

    def wait(self, text):
        """For the page to hold a text, and then to keep still."""
        self.until(lambda: text in self.text(), f"the page does not come to {text!r}")
        before = None
        while (picture := self.picture()) != before:
            before = picture
            time.sleep(1)

    def click(self, script, across=0.5):
        """On the element that the expression names, so far from its left end."""
        x, y = self.value(f"(box => [box.left + box.width * {across}, box.top + box.height / 2])"
                          f"(({script}).getBoundingClientRect())")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def text(self):
        """Of the page, with what its components hide from innerText."""
        return self.value("""(function text(node) {
            let found = "";
            for (const child of node.childNodes) {
                if (child.nodeType === Node.TEXT_NODE) found += child.textContent + "\\n";
                else if (!["SCRIPT", "STYLE"].includes(child.tagName)) {
                    if (child.shadowRoot) found += text(child.shadowRoot);
                    found += text(child);
                }
            }
            return found;
        })(document.body)""") or ""

    def picture(self):
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()
