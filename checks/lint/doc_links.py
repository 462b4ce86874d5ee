"""Links within the crate's documentation lead to pages and headings that exist, which rustdoc does
not check for headings and for what it takes for a link to elsewhere.

    doc_links.py FOLDER      that of the crate in target/doc
"""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """The ids of a page, and where it links to."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        if tag in ("a", "img") and (link := attrs.get("href") or attrs.get("src")):
            self.links.append(link)


def problems(pages):
    for path, page in pages.items():
        for link in page.links:
            url = urllib.parse.urlsplit(link)
            if url.scheme or link.startswith("#-"):
                continue
            there = (path.parent / urllib.parse.unquote(url.path)).resolve() if url.path else path
            if not there.exists():
                yield f"{path}: {link} does not exist"
            # Source files are no pages of the folder: a script makes the ids of their lines.
            elif url.fragment and there in pages and url.fragment not in pages[there].ids:
                yield f"{path}: {link} has no such heading"


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in folder.rglob("*.html")}
    found = sorted(problems(pages))
    print("\n".join(found) or f"{sum(len(page.links) for page in pages.values())} links on {len(pages)} pages")
    sys.exit(bool(found) or len(pages) < 50)


main()
