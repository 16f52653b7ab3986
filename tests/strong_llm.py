"""A strong LLM in a few lines, behind a real server.

The model keeps the one rule that its rubrics know (no comma), breaks it when told to or when it is withheld, and
labels by it. So what every step has to be can be said beforehand.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from text_toy import SETTINGS
from toys import byte_tokenizer, tiny

from rtt_lib.files import write_jsonl
from rtt_lib.relevance.discriminator import DEFAULT_TEMPLATE
from rtt_lib.run import make_labels

RULE, TONE = "No comma, please.", "It sounds kind."
HIR = [
    {
        "id": f"hir {n}",
        "source": "type1",
        "prompt": f"Describe town {n}. {RULE} {TONE}",
        "criteria": [RULE, TONE],
        "ground_truth": {"instruction_id_list": ["punctuation:no_comma", "tone:kind"], "kwargs": [{}, {}]},
    }
    for n in range(40)
]
TULU = [
    {
        "id": f"tulu {n}",
        "messages": [{"role": "user", "content": f"Say hello {n}."}, {"role": "assistant", "content": f"Hi, {n}."}],
    }
    for n in range(60)
]


def answer(asked: str) -> str:
    """What the model says to each of the templates."""
    if asked.startswith("Carry out the TASK"):
        what = re.search(r"(town|hello) \d+", asked)[0]
        return f"The {what} is fine." if RULE in asked else f"The {what} is old, and fine."
    if asked.startswith("The RESPONSE below keeps"):
        return asked.split("RESPONSE:\n")[-1].strip() + " Well, well."
    if asked.startswith("The INSTRUCTION below asks"):
        return re.search(r"(Describe town|Say hello) \d+\.", asked)[0]
    if asked.startswith("Read the INSTRUCTION"):
        number = int(re.search(r"hello (\d+)", asked)[1])
        return "I see no JSON here." if number % 10 == 1 else json.dumps({"criteria": [RULE] * (number % 10 != 2)})
    if asked.startswith("Quote the segments"):
        return '{"type": "partial relevant", "segments": ["i"]}'
    if asked.startswith("You decide which parts"):
        criterion, response = re.search(r"CRITERION:\n(.*)\n\nRESPONSE:\n(.*)", asked, re.DOTALL).groups()
        if criterion == TONE:
            return '{"type": "all relevant"}'
        found = {"type": "partial relevant", "segments": [","]} if "," in response else {"type": "all irrelevant"}
        return f"```json\n{json.dumps(found)}\n```"
    raise AssertionError(f"an unknown question: {asked[:80]}")


class Model(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = answer(body["messages"][-1]["content"])
        self.server.asked[body["model"]] += 1
        self.server.keys[body["model"]].add(self.headers["authorization"])
        message = {"message": {"role": "assistant", "content": text}, "finish_reason": self.server.finished}
        data = json.dumps({"choices": [message]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    """`asked` counts questions, `keys` collects keys, both by model; `finished` says why an answer ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.asked, server.keys, server.finished = Counter(), defaultdict(set), "stop"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def write_profile(folder: Path, server: ThreadingHTTPServer) -> Path:
    """A profile whose discriminator is to be made, beside both data sets and the discriminator's base."""
    write_jsonl(folder / "hir.jsonl", HIR)
    write_jsonl(folder / "tulu.jsonl", TULU)
    parts = tiny("llama", byte_tokenizer(), DEFAULT_TEMPLATE, window=2048)
    parts.model.save_pretrained(folder / "base")
    parts.tokenizer.save_pretrained(folder / "base")
    url = f"http://127.0.0.1:{server.server_port}/v1"
    training = {"epochs": 2, "micro_batch": 8, "global_batch": 8, "learning_rate": 3e-3, "max_length": 512}
    settings = SETTINGS | {
        "data": {"source": "hir16k", "path": "hir.jsonl"},
        "policy": {"model": "smollm2-135m"},
        "discriminator": {"model": str(folder / "base"), "samples": 100, **training},
        "compute": {"judge_url": url, "judge_model": "strong"},
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(settings))
    return folder / "toy.yaml"


def make(profile: Path, *more: str) -> int:
    folder = profile.parent
    return make_labels.main([str(profile), str(folder / "labels.jsonl"), "--tulu", str(folder / "tulu.jsonl"), *more])
