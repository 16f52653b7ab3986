"""A strong and a weak LLM for Conifer in a few lines, behind a real server, with faults where the tests know of them.

Its seeds are about six topics. What happens to each of their questions is said in `answer`.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rtt_lib.files import write_jsonl
from rtt_lib.run import make_conifer

TOPICS = ("kettles", "bridges", "violins", "cameras", "clocks", "lamps")
SEED = "Please tell me how {} work and why so many people like them."
SEEDS = [
    *({"prompt": SEED.format(topic)} for topic in TOPICS),
    {"prompt": "Why kettles?"},  # too short
    {"prompt": "Bitte sag mir, wie eine Brücke gebaut wird und warum sie nicht einfach umfällt."},
    {"prompt": "Tell me more. " * 20},  # too long
    {"conversations": [{"from": "human", "value": SEED.format("lamps")}, {"from": "gpt", "value": "Well."}]},  # twice
]
CONSTRAINTS = {"Reader": ["children", "engineers"], "Form": ["as a list"], "Length": ["short", "long"]}


def answer(asked: str, model: str) -> str:
    """What the model says to each of the templates; FAILS stands for an error of the server."""
    if asked.startswith("Below is a SEED"):
        return questions(re.search(r"how (\w+) work", asked)[1])
    if asked.startswith("Read the QUESTION below. Could"):
        question = after("QUESTION", asked)
        return "NO." if "side 3" in question else "Perhaps" if "kettles" in question and "side 2" in question else "Yes"
    if asked.startswith("Somebody will ask"):
        question = after("QUESTION", asked)
        if "bridges" in question and "side 2" in question:
            return '{"constraints": {}}'
        if "clocks" in question and "side 2" in question:
            return '```json\n{"constraints": {"Reader": ["chil'
        return f"```json\n{json.dumps({'constraints': CONSTRAINTS})}\n```"
    if asked.startswith("Rewrite the QUESTION"):
        assert "- Reader: children; engineers\n- Form: as a list" in asked
        question = re.findall(r"QUESTION:\n(.*)\n\nCONDITIONS", asked)[-1]
        levels = {str(n): f"Level {n} of: {question}" for n in range(1, 5 if "clocks" in question else 6)}
        for n in ("3", "5"):
            levels[n] = levels.get(n, "") + (" IMPOSSIBLE" if "bridges" in question else "")
        return json.dumps({n: text for n, text in levels.items() if text})
    if asked.startswith("The QUESTION below may get"):
        question, offered = re.search(r"QUESTION:\n(.*)\n\nLIST:\n(.*)", asked, re.DOTALL).groups()
        used = [line.removeprefix("- ") for line in offered.splitlines()]
        assert len(used) == 5
        used = {"1": [], "2": ["In verse, please."]}.get(question[6], [used[0], used[4]])
        return json.dumps({"question": f"{question} Mind the form.", "used": used})
    if asked.startswith("Read the QUESTION below. Is each"):
        return "no" if "IMPOSSIBLE" in asked else "**YES**"
    if asked.startswith("Answer the QUESTION below and meet"):
        question = re.search(r"QUESTION:\n(.*)\n\nFORM", asked)[1]
        return "" if re.match("Level 5 of: How do lamps work, seen from side 2", question) else f"{question} Accounted."
    if asked.startswith("A DRAFT answers"):
        assert "\n\nREFERENCE:\nStrong: " in asked and "\n\nDRAFT:\nWeak: " in asked
        question = re.search("QUESTION:\n(.*)", asked)[1]
        if "kettles" in question:
            return "NO: it says nothing of water."
        return "Yes." if "side 1" in question else "I am not sure."
    if asked.startswith("Level 4 of: How do kettles"):
        return "I'm sorry, but I can't help with that."
    if asked.startswith("Level 2 of: How do lamps work, seen from side 2"):
        return "FAILS"
    if asked.startswith("Level "):
        return f"{model.capitalize()}: {asked}"
    raise AssertionError(f"an unknown question: {asked[:80]}")


def questions(topic: str) -> str:
    if topic == "violins":
        return "Sorry, I cannot help with violins."
    if topic == "cameras":
        return "Here are three questions: 1. How do cameras work?"
    three = [f"How do {topic} work, seen from side {k}?" for k in (1, 2, 3)]
    if topic == "clocks":
        three[2] = "How do bridges work, seen from side 1?"
    return json.dumps({"questions": three})


def after(name: str, asked: str) -> str:
    return asked.rpartition(f"{name}:\n")[2]


class Model(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = body["messages"][-1]["content"]
        text = answer(asked, body["model"])
        with self.server.lock:
            self.server.asked[body["model"]] += 1
            self.server.seen.append(body)
        self.server.slow.wait(self.server.seconds)
        message = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        data = json.dumps({"choices": [message]}).encode()
        self.send_response(400 if text == "FAILS" else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    """`asked` counts questions by model, `seen` keeps them; every answer takes `seconds`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.asked, server.seen, server.lock = Counter(), [], threading.Lock()
    server.slow, server.seconds = threading.Event(), 0.0
    server.handle_error = lambda *_: None  # a client that is killed is part of the tests
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def words(folder: Path, server: ThreadingHTTPServer, *more: str) -> list[str]:
    """The command's arguments; the seeds are written."""
    write_jsonl(folder / "seeds.jsonl", SEEDS)
    url = f"http://127.0.0.1:{server.server_port}/v1"
    strong = ["--url", url, "--model", "strong", "--weak", url, "weak"]
    return [str(folder / "seeds.jsonl"), str(folder / "out.jsonl"), *strong, "--rewritten", "20", *more]


def make(folder: Path, server: ThreadingHTTPServer, *more: str) -> int:
    return make_conifer.main(words(folder, server, *more))
