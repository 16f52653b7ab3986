"""The paper's way to the discriminator's data, from two data sets to a trained D: a real server, a few lines of model.

The model keeps the one rule that its rubrics know (no comma), breaks it when told to or when it is withheld, and
labels by it. So what every step has to be can be said beforehand.
"""

import json
import re
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from test_text_run import SETTINGS
from toys import byte_tokenizer, tiny

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl, write_jsonl
from rtt_lib.relevance import llm_corpus
from rtt_lib.relevance.corpus import read_labelled, write_labelled
from rtt_lib.relevance.discriminator import DEFAULT_TEMPLATE, Discriminator
from rtt_lib.run import make_labels, train_discriminator
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.text import discriminators as text_training
from rtt_lib.worlds.text.checkpoints import discriminator_folder, how_to_get_one

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


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.asked, server.keys, server.finished = Counter(), defaultdict(set), "stop"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def profile(tmp_path, server) -> Path:
    write_jsonl(tmp_path / "hir.jsonl", HIR)
    write_jsonl(tmp_path / "tulu.jsonl", TULU)
    parts = tiny("llama", byte_tokenizer(), DEFAULT_TEMPLATE, window=2048)
    parts.model.save_pretrained(tmp_path / "base")
    parts.tokenizer.save_pretrained(tmp_path / "base")
    url = f"http://127.0.0.1:{server.server_port}/v1"
    training = {"epochs": 2, "micro_batch": 8, "global_batch": 8, "learning_rate": 3e-3, "max_length": 512}
    settings = SETTINGS | {
        "data": {"source": "hir16k", "path": "hir.jsonl"},
        "policy": {"model": "smollm2-135m"},
        "discriminator": {"model": str(tmp_path / "base"), "samples": 100, **training},
        "compute": {"judge_url": url, "judge_model": "strong"},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "toy.yaml"


def make(profile: Path, *more: str) -> int:
    folder = profile.parent
    return make_labels.main([str(profile), str(folder / "labels.jsonl"), "--tulu", str(folder / "tulu.jsonl"), *more])


def test_a_corpus_of_the_papers_size_has_the_papers_parts():
    assert llm_corpus.shares(62_714) == (22_656, 16_969, 62_714 - 22_656 - 16_969)
    assert sum(llm_corpus.shares(1001)) == 1001


def test_every_example_is_what_it_says_it_is(profile, server):
    weak = ("--omitter", f"http://127.0.0.1:{server.server_port}/v1", "weak")
    assert make(profile, *weak) == 0
    rows = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    by_way = Counter(example.split for _, example in rows)
    about = read_json(profile.with_name("labels.jsonl.about.json"))
    # 36 of Tulu-3 (those that require something, among 60), 27 of HiR-16K, 37 negatives of both kinds
    ids = {id for id, example in rows if example.split == "positive"}
    assert (sum(id.startswith("tulu") for id in ids), sum(id.startswith("hir") for id in ids)) == (36, 27)
    assert by_way["minimal"] + by_way["omission"] == 37 and min(by_way.values()) > 10
    assert about["lost"]["rubrics"] and about["lost"]["prompts that require nothing"]
    assert about["examples"] == 100 and {n: c["examples"] for n, c in about["made"].items()} == by_way
    assert server.asked["weak"] == by_way["omission"]  # these and nothing else
    given = list(read_jsonl(profile.with_name("labels.jsonl.responses.jsonl")))
    assert {row["id"] for _, row in given} == {id for id in ids if id.startswith("hir")}
    assert all(re.fullmatch(r"The town \d+ is fine\.", row["response"]) for _, row in given)
    for id, example in rows:
        commas = [(match.start(), match.end()) for match in re.finditer(",", example.response)]
        if example.criterion.text == TONE:
            assert example.label.whole and example.verdict is None
        else:
            assert list(example.label.spans) == commas and not example.label.whole
        if example.split == "positive":
            assert bool(commas) is id.startswith("tulu")  # what the data hold; the others were written
        if example.split == "minimal":
            assert example.response.endswith(" Well, well.")
        if example.split == "omission":
            assert bool(commas) is (example.criterion.text == RULE)  # only what was withheld is broken
        if example.criterion.hard:
            assert example.verdict is (not commas)


def test_a_second_time_nothing_is_asked(profile, server):
    assert make(profile) == 0
    first, asked = profile.with_name("labels.jsonl").read_bytes(), server.asked.total()
    unread = read_json(profile.with_name("labels.jsonl.about.json"))["lost"]["rubrics"]
    assert make(profile) == 0
    assert profile.with_name("labels.jsonl").read_bytes() == first
    assert server.asked.total() == asked + unread  # what could not be used is not kept
    assert make(profile, "--seed", "1") == 0
    assert profile.with_name("labels.jsonl").read_bytes() != first


def test_one_answer_more_changes_nothing_else(profile, server, monkeypatch):
    """A server that failed once and now answers: all that was asked about other prompts is kept and used."""
    whole = answer

    def failing(asked: str) -> str:
        return "" if asked.startswith("Carry out the TASK") and re.search(r"town (3|17)\.", asked) else whole(asked)

    monkeypatch.setattr(f"{__name__}.answer", failing)
    assert make(profile) == 0
    first = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    lost = read_json(profile.with_name("labels.jsonl.about.json"))["lost"]["responses"]
    monkeypatch.setattr(f"{__name__}.answer", whole)
    asked = server.asked.total()
    assert make(profile) == 0
    second = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    assert lost and len(set(map(repr, second)) - set(map(repr, first))) <= 2 * lost  # their positives, some negatives
    assert server.asked.total() - asked < 40


def test_other_labels_on_the_same_responses(profile, server):
    kept = ("--answers", str(profile.with_name("answers")))
    assert make(profile, *kept) == 0
    first = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    assert make(profile, *kept, "--set", "discriminator.annotator=greedy") == 0
    second = read_labelled(profile.with_name("labels.jsonl"), "greedy")
    assert [example.response for _, example in first] == [example.response for _, example in second]
    assert all(response[a:b] == "i" for _, e in second for response in [e.response] for a, b in e.label.spans)
    with pytest.raises(RTTError, match=r"labels.jsonl:1: labels of the annotator 'greedy', asked for .* 'taxonomy'"):
        read_labelled(profile.with_name("labels.jsonl"), "taxonomy")


def test_the_printed_commands_make_both_discriminators(profile, server, empty_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toy = load_profile(profile)
    for greedy in (False, True):
        first, second = how_to_get_one(toy, greedy).split(": ", 1)[1].split(", then ")
        first = first.replace(" URL ", f" http://127.0.0.1:{server.server_port}/v1 ")
        words = first.removeprefix("python -m rtt_lib.run.make_labels toy ").split()
        assert make_labels.main([str(profile), *words, "--tulu", "tulu.jsonl"]) == 0
        words = second.removeprefix("accelerate launch -m rtt_lib.run.train_discriminator toy ").split()
        assert train_discriminator.main([str(profile), *words]) == 0
    for kind in ("taxonomy", "greedy"):
        assert read_json(discriminator_folder(toy, kind) / "metrics.json")["settings"]["annotator"] == kind


def test_a_server_that_does_not_do_its_work_stops_it_until_it_does(profile, monkeypatch, capsys):
    whole = answer
    monkeypatch.setattr(f"{__name__}.answer", lambda asked: "<think>What may that be?</think>")
    assert make(profile) == 2
    error = capsys.readouterr().err
    assert "responses: 27 of 27 questions got no usable answer, the last: an empty answer" in error
    assert "labels.jsonl.answers" in error and not profile.with_name("labels.jsonl").exists()
    monkeypatch.setattr(f"{__name__}.answer", lambda asked: "<think>So be it.</think>" + whole(asked))
    assert make(profile) == 0
    rows = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    assert not any("think" in example.response for _, example in rows)


def test_a_server_that_dies_late_is_noticed(profile, server, monkeypatch, capsys):
    whole, count = answer, Counter()

    def dying(asked: str) -> str:
        labels = asked.startswith("You decide which parts")
        count["labels"] += labels
        return "" if labels and count["labels"] > 70 else whole(asked)

    monkeypatch.setattr(f"{__name__}.answer", dying)
    monkeypatch.setattr(llm_corpus, "PART", 20)
    assert make(profile) == 2  # 30 of 100 labels are lost: less than half, but all of the last
    assert "labels: " in capsys.readouterr().err and not profile.with_name("labels.jsonl").exists()


def test_an_answer_that_was_cut_is_none(profile, server, capsys):
    server.finished = "length"
    assert make(profile) == 2
    assert "the last: the answer was cut at max_tokens" in capsys.readouterr().err


def test_a_mistake_in_the_data_shows_before_anybody_is_asked(profile, server, capsys):
    bad = {**HIR[0], "id": "bad", "ground_truth": {"instruction_id_list": ["length_constraints:number_words"] * 2}}
    bad["ground_truth"]["kwargs"] = [{"relation": "nearly"}] * 2
    write_jsonl(profile.with_name("hir.jsonl"), [bad])
    assert make(profile) == 2
    assert "hir.jsonl:1: ground_truth: instruction 1" in capsys.readouterr().err and not server.asked


def test_without_a_server_and_without_need_it_says_so(profile, capsys):
    assert make(profile, "--writer", "nowhere", "model") == 2
    assert "url must be like http://" in capsys.readouterr().err
    assert make(profile, "--writer", "http://127.0.0.1:9/v1", "") == 2
    assert "name a server: --writer URL MODEL" in capsys.readouterr().err
    assert make_labels.main(["smol-cpu", "x.jsonl"]) == 2
    assert "rules label the data source 'composed'" in capsys.readouterr().err
    assert train_discriminator.main(["quick"]) == 2
    assert "rtt run quick --only 03" in capsys.readouterr().err


def test_each_server_has_a_key_of_its_own(profile, server, monkeypatch):
    for name in ("RTT_API_KEY", "RTT_API_KEY_OMITTER"):
        monkeypatch.setenv(name, f"value of {name}".replace(" ", "-"))
    assert make(profile, "--omitter", f"http://127.0.0.1:{server.server_port}/v1", "weak") == 0
    assert server.keys["weak"] == {"Bearer value-of-RTT_API_KEY_OMITTER"}
    assert server.keys["strong"] == {"Bearer value-of-RTT_API_KEY"}


def test_the_labels_train_the_discriminator_that_the_arms_use(profile, empty_store):
    assert make(profile) == 0
    labels, toy = profile.with_name("labels.jsonl"), load_profile(profile)
    own = str(discriminator_folder(toy, "taxonomy"))
    assert train_discriminator.main([str(profile), own, "--labels", str(labels)]) == 0
    trained = Discriminator.load(own)
    assert 0 <= trained.attribute(RULE, "Well, well.")[0].relevance <= 1
    metrics, log = read_json(Path(own) / "metrics.json"), read_json(Path(own) / "training.json")
    assert metrics["settings"]["learning_rate"] == 3e-3 and metrics["labels"]["file"] == "labels.jsonl"
    assert log["pos_weight"] == 1.0  # Eq. 5 as it is
    rows = read_labelled(labels, "taxonomy")
    training, unseen = text_training.split_off(rows)
    assert log["examples"] == len(training) and 0 < len(unseen) == len(rows) - len(training)
    assert sum(row["examples"] for row in metrics["tables"]["held-out prompts by response"]) == len(unseen)
    weights = Path(own, "model.safetensors").stat().st_mtime_ns
    assert train_discriminator.main([str(profile), own, "--labels", str(labels)]) == 0
    assert Path(own, "model.safetensors").stat().st_mtime_ns == weights  # examined again, not trained again
    assert list(text_training.evaluate_labels(trained, unseen, longest=20)) == [
        f"held-out prompts by label, {len(unseen)} too long",
        "held-out prompts by response",
    ]
    assert "labels that an annotator wrote" in (Path(own) / "README.md").read_text()
    assert "make_labels toy LABELS.jsonl" in how_to_get_one(toy)


GOOD = {"id": "p", "criterion": {"text": "Name a cat."}, "response": "A cat.", "spans": [[2, 5]], "whole": False}


def _labels(folder: Path, **change: object) -> Path:
    return write_jsonl(folder / "own.jsonl", [GOOD, GOOD | change])


def test_labels_of_ones_own_are_read_and_written_alike(tmp_path):
    ((_, first), (id, second)) = read_labelled(_labels(tmp_path, verdict=True, made="by hand"), "taxonomy")
    assert (id, second.criterion.text, second.label.spans) == ("p", "Name a cat.", ((2, 5),))
    assert (first.verdict, second.verdict, second.split) == (None, True, "by hand")
    path = write_labelled(tmp_path / "again.jsonl", [("p", first), ("p", second)], "taxonomy")
    assert [example for _, example in read_labelled(path, "taxonomy")] == [first, second]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 7}, "field 'id' must be str"),
        ({"response": None}, "field 'response' must be str"),
        ({"spans": [[2, 7]]}, r"a span must be \[start, end\], 0 <= start < end <= 6, found \[2, 7\]"),
        ({"spans": [[3, 3]]}, "a span must be"),
        ({"spans": [[True, 3]]}, "a span must be"),
        ({"spans": ["cat"]}, "a span must be"),
        ({"whole": 1}, "field 'whole' must be bool"),
        ({"verdict": "yes"}, "'verdict' must be true, false or null"),
        ({"criterion": "Name a cat."}, "criterion: a criterion must be an object"),
    ],
)
def test_a_bad_label_is_named(tmp_path, change, message):
    with pytest.raises(RTTError, match=rf"own.jsonl:2: {message}"):
        read_labelled(_labels(tmp_path, **change), "taxonomy")


def test_no_labels_is_an_error(tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(RTTError, match="holds no examples"):
        read_labelled(tmp_path / "none.jsonl", "taxonomy")
