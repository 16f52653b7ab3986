"""Responses and negatives by an LLM: asked of a real server on this machine, whose model is a few lines of Python."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rtt_lib.endpoint import Endpoint, EndpointError, Usage
from rtt_lib.relevance.completions import complete, modify
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import verify

RUBRIC = (Criterion("Not one comma, please.", "composed:no_commas"), Criterion("Name {response} as it is."))
PROMPT = RubricPrompt("p", "Describe rain. Not one comma, please.", RUBRIC, "Describe rain.")


class Model(BaseHTTPRequestHandler):
    """Breaks the comma rule when told to, else repeats what it was asked; refuses the word 'forbidden'."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = body["messages"][-1]["content"]
        breaking = "POINT TO BREAK:\nNot one comma, please." in asked
        answer = asked.split("RESPONSE:\n")[-1].strip().replace(" ", ", ", 1) if breaking else asked
        status = 400 if "forbidden" in asked else 200
        data = json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "model", retries=0)
    server.shutdown()
    server.server_close()


def test_a_completion_is_asked_with_task_and_rubric(endpoint):
    usage = Usage()
    refused = RubricPrompt("q", "forbidden", (), "forbidden")
    asked, error = complete([PROMPT, refused], endpoint, usage)
    assert "TASK:\nDescribe rain.\n" in asked
    assert "RUBRIC:\n- Not one comma, please.\n- Name {response} as it is." in asked  # braces stay as they are
    assert isinstance(error, EndpointError)  # the other answers are not lost
    assert (usage.requests, usage.answers, usage.failures) == (2, 1, 1)


def test_a_minimal_modification_breaks_the_point_it_is_told_to(endpoint):
    (broken,) = modify([(PROMPT, "Rain falls {rubric} softly.", 0)], endpoint)
    assert broken == "Rain, falls {rubric} softly."
    assert verify(RUBRIC[0], "", broken) is False
