"""Pages in a real browser, without a window."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import shutil
import subprocess
from pathlib import Path

QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--enable-logging=stderr"),
    *("--window-size=1300,1000", "--virtual-time-budget=2000"),  # ms: what a page still waits for is over by then
]
# A headless window is 500 px wide at least, a frame as narrow as one likes. It shows what its page says to `parent`.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><pre id="said"></pre>
<script>onmessage = (event) => document.getElementById("said").replaceChildren(event.data)</script>
<iframe src="{name}" style="width:{width}px;height:800px;border:0"></iframe>"""


def with_script(page: str, script: str) -> str:
    """A page of the site with one more script at its end, which its policy lets run; else the policy stays."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    opened = re.sub(r"script-src ('none')?", f"script-src 'sha256-{digest}' ", page, count=1)
    assert opened != page, "the page has no script-src"
    return opened.replace("</body>", f"<script>{script}</script></body>")


def browser() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def load(page: Path | str, profile: Path) -> tuple[str, str]:
    """Open a page, a file or an address; returns the document after loading and what the browser logged."""
    address = page.as_uri() if isinstance(page, Path) else page
    command = [browser(), *QUIET, f"--user-data-dir={profile}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout, done.stderr


def said_in_frame(page: Path, profile: Path, width: int) -> str:
    """Open a page in a frame of that width; returns the text that the page posts to its parent. Console errors fail."""
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(name=page.name, width=width))
    document, log = load(frame, profile)
    found = re.search(r'<pre id="said">(.+?)</pre>', document, re.DOTALL)
    assert found and "CONSOLE" not in log, log
    return html.unescape(found.group(1))
