"""An HTML page as a strict reader sees it: every tag closed in its order, nothing from outside, nothing that runs."""

import base64
import html.parser
import io
from pathlib import Path

from PIL import Image

VOID = {"img", "meta"}


class Page(html.parser.HTMLParser):
    """The page's text, tables and pictures. Asserts while reading that it is well formed and needs only itself."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.source = Path(path).read_bytes().decode()  # UTF-8, or it fails
        self.open = []  # the elements around the current place
        self.ids, self.links = set(), set()
        self.texts = []  # (innermost element, text)
        self.rows = []  # of all tables: the texts of their cells
        self.cards = {}  # by section's id: name -> value
        self.figures = []  # of pictures: {"title", "captions", "picture" or "words"}
        self._section = None
        self.feed(self.source)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        assert self.links <= self.ids, f"links to nowhere: {self.links - self.ids}"

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), attributes
        attributes = dict(attributes)
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}, tag
        assert not any(name.startswith("on") for name in names), attributes
        if tag == "a":
            assert attributes["href"].startswith("#")
            self.links.add(attributes["href"][1:])
        if "id" in attributes:
            assert attributes["id"] not in self.ids
            self.ids.add(attributes["id"])
        if tag == "section":
            self._section = attributes.get("id")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "figure":
            self.figures.append({"title": attributes.get("title"), "captions": [], "section": self._section})
        if tag == "img":
            kind, _, code = attributes["src"].partition(";base64,")
            data = base64.b64decode(code, validate=True)
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                assert kind == f"data:image/{picture.format.lower()}"
                assert picture.size == (int(attributes["width"]), int(attributes["height"]))
            self.figures[-1] |= {"picture": data, "alt": attributes["alt"]}
        else:
            assert "src" not in attributes, (tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> inside of {self.open}, line {self.getpos()[0]}"
        self.open.pop()

    def handle_startendtag(self, tag, attributes):
        assert "svg" in self.open, f"<{tag}/> is not HTML"
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_data(self, data):
        if "style" in self.open:
            assert not any(text in data for text in ("url(", "@import", "http"))
            return
        self.texts.append((self.open[-1] if self.open else "", data))
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data
        if "dt" in self.open:
            self._card = data
        if "dd" in self.open:
            cards = self.cards.setdefault(self._section, {})
            cards[self._card] = cards.get(self._card, "") + data
        if "figcaption" in self.open:
            self.figures[-1]["captions"].append(data)

    @property
    def text(self):
        return " ".join(text for _, text in self.texts)

    def tooltips(self):
        """Those of the bars: "896 to 1,023: 1"."""
        return [text for tag, text in self.texts if tag == "title" and ": " in text]
