"""`rtt attribute` and its pages: contract, escaping, and a discriminator trained on the spot."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from toys import byte_tokenizer, tiny

from rtt_lib import profile
from rtt_lib.errors import RTTError
from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import Discriminator, train_discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.packed import PackedDiscriminator, train_packed
from rtt_lib.run import attribute
from rtt_lib.schema import Criterion


class Text(HTMLParser):
    """What a browser would show inside the response, and every tag it would make."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.inside, self.text = [], False, ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.inside |= ("class", "response") in attributes

    def handle_endtag(self, tag):
        self.inside &= tag != "p"

    def handle_data(self, data):
        self.text += data if self.inside else ""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """It knows commas."""
    return trained(tmp_path_factory.mktemp("discriminator"), Discriminator, ["no commas"], epochs=3)


@pytest.fixture(scope="module", params=[Discriminator, PackedDiscriminator])
def knows_two(request, tmp_path_factory):
    """It knows commas, and that everything matters to being short."""
    return trained(tmp_path_factory.mktemp("two"), request.param, ["no commas", "short"], epochs=8)


def trained(folder, kind, criteria, epochs):
    tokenizer = byte_tokenizer()
    texts = ["bako, desu", "bako desu", "miru, bako, desu", "desu", "a, b, c", "a b c"] * 12
    examples = [
        LabelledExample(Criterion(name), text, Label(whole=True) if name == "short" else Label(commas(text)))
        for text in texts
        for name in criteria
    ]
    settings = profile.Discriminator(
        model="x", epochs=epochs, learning_rate=1e-2, micro_batch=8, global_batch=8, max_length=128
    )
    train = train_packed if kind is PackedDiscriminator else train_discriminator
    train(examples, tiny("llama", tokenizer, "{criterion} : {response}", outputs=kind.OUTPUTS), folder, settings, 0)
    return folder


def commas(text):
    return tuple((n, n + 1) for n, char in enumerate(text) if char == ",")


def test_json_contract(checkpoint, capsys):
    text = "miru, a 😀 desu"
    assert attribute.main(["--criterion", "no commas", "--response", text, "--model", str(checkpoint), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(set(row) == {"start", "end", "text", "relevance"} for row in rows)
    assert "".join(row["text"] for row in rows) == text
    assert all(text[row["start"] : row["end"]] == row["text"] for row in rows)
    relevant = [row["text"] for row in rows if row["relevance"] >= 0.5]
    assert relevant == [","]


def test_page_and_terminal(checkpoint, capsys, tmp_path):
    page = tmp_path / "deep" / "out.html"
    arguments = ["--criterion", "no commas", "--response", "a, <script>b</script>", "--model", str(checkpoint)]
    assert attribute.main([*arguments, "--html", str(page)]) == 0
    assert "⟦,⟧" in capsys.readouterr().out
    assert Text(page.read_text()).text == "a, <script>b</script>"


def test_several_criteria_each_have_their_tokens(knows_two, capsys, tmp_path):
    text, page = "miru, desu", tmp_path / "out.html"
    asked = ["--criterion", "short", "--criterion", "no commas", "--response", text, "--model", str(knows_two)]
    capsys.readouterr()  # what training printed
    assert attribute.main([*asked, "--json", "--html", str(page)]) == 0
    both = json.loads(capsys.readouterr().out)
    assert [row["criterion"] for row in both] == ["short", "no commas"]
    relevant = ["".join(t["text"] for t in row["tokens"] if t["relevance"] >= 0.5) for row in both]
    assert relevant == [text, ","]
    assert Text(page.read_text()).text == text * 2
    for n, criterion in enumerate(("short", "no commas")):  # the same as when asked alone
        assert attribute.main(["--criterion", criterion, *asked[4:], "--json"]) == 0
        alone = json.loads(capsys.readouterr().out)
        together = both[n]["tokens"]
        assert [t["relevance"] for t in alone] == pytest.approx([t["relevance"] for t in together], abs=1e-5)
    assert attribute.main(asked) == 0
    assert capsys.readouterr().out.splitlines() == ["short", f"⟦{text}⟧", "no commas", "miru⟦,⟧ desu"]


@pytest.mark.slow
def test_command_line_prints_only_the_answer_and_reads_standard_input(checkpoint):
    command = [sys.executable, "-m", "rtt_lib", "attribute", "--criterion", "no commas", "--response", "-", "--json"]
    ran = subprocess.run(
        [*command, "--model", str(checkpoint)], input="a, b", capture_output=True, text=True, env=dict(os.environ)
    )
    assert ran.returncode == 0, ran.stderr
    assert "".join(row["text"] for row in json.loads(ran.stdout)) == "a, b"


def test_errors_are_plain(tmp_path, monkeypatch):
    with pytest.raises(RTTError, match="--response is empty"):
        attribute.main(["--criterion", "c", "--response", " "])
    with pytest.raises(RTTError, match="no such folder"):
        attribute.main(["--criterion", "c", "--response", "r", "--model", str(tmp_path / "none")])
    with pytest.raises(RTTError, match="--response is not valid UTF-8 after 3 bytes"):
        attribute.main(["--criterion", "c", "--response", "\u00e9a\udcff"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xc3\xa9a\xff"), encoding="utf-8"))
    with pytest.raises(RTTError, match="--response is not valid UTF-8 after 3 bytes"):
        attribute.main(["--criterion", "c", "--response", "-"])
    monkeypatch.setattr("rtt_lib.relevance.shipped.SHIPPED", tmp_path / "none")
    with pytest.raises(RTTError, match="name one of your own with --model"):
        attribute.main(["--criterion", "c", "--response", "r"])
