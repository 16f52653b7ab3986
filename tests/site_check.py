"""A built site, checked from its files alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _References(HTMLParser):
    """Collects what a page loads, what it links to, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[tuple[str, str]] = []
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if "id" in values:
            self.ids.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values:
            self.loads.append((tag, values["href"]))
        for name in ("src", "srcset", "data", "poster", "xlink:href"):
            if values.get(name):
                self.loads.append((tag, values[name]))


def check_site(results_dir: str | Path) -> list[str]:
    """Every defect that can be seen without a browser; empty when there is none."""
    results = Path(results_dir).resolve()
    problems = []
    pages = {path: _references(path) for path in [results / "index.html", *sorted((results / "site").glob("*.html"))]}
    for path, found in pages.items():
        name = path.relative_to(results)
        for tag, target in found.loads:
            if tag == "script":
                problems.append(f"{name}: loads the script {target}")
            elif not target.startswith("data:"):
                problems += _check_target(name, path, target, pages, remote_allowed=False)
        for target in found.links:
            problems += _check_target(name, path, target, pages, remote_allowed=True)
    style = (results / "site" / "style.css").read_text(encoding="utf-8")
    problems += [
        f"site/style.css: loads {load}" for load in re.findall(r"@import[^;]*|url\((?!['\"]?data:)[^)]*\)", style)
    ]
    return problems


def _references(path: Path) -> _References:
    found = _References()
    found.feed(path.read_text(encoding="utf-8"))
    return found


def _check_target(name: Path, page: Path, target: str, pages: dict, remote_allowed: bool) -> list[str]:
    address = urlsplit(target)
    if address.scheme or address.netloc:
        allowed = remote_allowed and address.scheme in {"http", "https", "mailto"}
        return [] if allowed else [f"{name}: would load {target}"]
    file = (page.parent / unquote(address.path)).resolve() if address.path else page
    if not file.is_file():
        return [f"{name}: {target} does not exist"]
    if address.fragment and file in pages and unquote(address.fragment) not in pages[file].ids:
        return [f"{name}: {target} names no place on that page"]
    return []
