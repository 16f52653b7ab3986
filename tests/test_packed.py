"""The packed discriminator: its formula by hand and token by token, what it must not depend on, training, loading."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_discriminator import SETTINGS, local_and_global
from toys import byte_tokenizer, micro_tokenizer, tiny
from transformers import AutoModelForTokenClassification

from rtt_lib import profile
from rtt_lib.errors import RTTError
from rtt_lib.relevance import packed
from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import (
    MICRO_TEMPLATE,
    TEMPLATE_KEY,
    Backbone,
    Discriminator,
    bce_on_response,
    train_discriminator,
)
from rtt_lib.relevance.encoding import IGNORED, LabelledExample
from rtt_lib.relevance.packed import WIDTH, PackedDiscriminator, PackedEncoder, load_discriminator, train_packed
from rtt_lib.relevance.spans import token_offsets
from rtt_lib.schema import Criterion
from rtt_lib.worlds.micro.language import tokens_of_the_language

START = Criterion("start bako", "micro:start", {"word": "bako"})
NO_COMMAS = Criterion("no commas", "micro:no_commas")
SHORT = Criterion("at most 8 words", "micro:at_most_words", {"n": 8})
RUBRIC = [START, NO_COMMAS, SHORT]
TEXT = "bako , desu nisu"


def backbone(architecture: str, tokenizer) -> Backbone:
    """A toy with the head's width, at random."""
    return tiny(architecture, tokenizer, outputs=PackedDiscriminator.OUTPUTS)


@pytest.fixture
def model() -> PackedDiscriminator:
    tokenizer = micro_tokenizer()
    parts = backbone("llama", tokenizer)
    with torch.no_grad():
        parts.model.score.weight.mul_(20)  # so that p is far from a half and differs from token to token
    setattr(parts.model.config, TEMPLATE_KEY, MICRO_TEMPLATE)
    return PackedDiscriminator(parts.model, tokenizer)


def offsets_of(tokenizer, texts: list[str]) -> list:
    return [token_offsets(tokenizer, [*tokenizer(text)["input_ids"], tokenizer.eos_token_id])[1] for text in texts]


def predict(model, rubric: list[Criterion], text: str = TEXT) -> torch.Tensor:
    """[K, T]"""
    return model.predict([rubric], [text], offsets_of(model.tokenizer, [text]))[0]


# --- the formula ---


def test_the_logits_are_products_and_two_numbers_more():
    responses, criteria = torch.zeros(1, 2, 2 * WIDTH + 2), torch.zeros(1, 3, 2 * WIDTH + 2)
    responses[0, 0, :2] = torch.tensor([2.0, 3.0])  # u of the first token
    responses[0, :, -2] = torch.tensor([0.5, -0.5])  # a
    responses[0, :, WIDTH : 2 * WIDTH] = responses[0, :, -1] = 99.0  # v and b of a response: not read
    criteria[0, 0, WIDTH : WIDTH + 2] = torch.tensor([4.0, -1.0])  # v of the first criterion
    criteria[0, :, -1] = torch.tensor([0.0, 1.0, 2.0])  # b
    criteria[0, :, :WIDTH] = criteria[0, :, -2] = 99.0  # u and a of a criterion: not read
    wanted = torch.tensor([[5 / 8 + 0.5, -0.5], [1.5, 0.5], [2.5, 1.5]])  # (2 x 4 - 3 x 1) / sqrt(64)
    assert WIDTH == 64
    torch.testing.assert_close(packed.joined(responses, criteria)[0], wanted)


def test_a_prediction_is_the_formula_token_by_token(model):
    """The slow way: two passes through the plain checkpoint, one token and one criterion at a time."""
    found, tokenizer = predict(model, RUBRIC), model.tokenizer
    with torch.no_grad():
        response = model.model(torch.tensor([tokenizer(f": {TEXT}")["input_ids"] + [tokenizer.eos_token_id]])).logits[0]
        for k, criterion in enumerate(RUBRIC):
            about = model.model(torch.tensor([tokenizer(criterion.text)["input_ids"]])).logits[0, -1]
            for t in range(5):
                token = response[1 + t]
                logit = sum(token[r] * about[WIDTH + r] for r in range(WIDTH)) / 8 + token[-2] + about[-1]
                assert found[k, t].item() == pytest.approx(torch.sigmoid(logit).item(), abs=1e-5)
    assert found.std() > 0.05


def test_the_words_between_go_with_the_response():
    tokenizer = byte_tokenizer()
    encoder = PackedEncoder(tokenizer, "Mark.\nCriterion: {criterion}\nResponse: {response}")
    ids = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    assert encoder.prefix("No.") == encoder.begin + ids("Mark.\nCriterion: No.")
    assert encoder.lead == encoder.begin + ids("\nResponse: ")


# --- what p does not depend on ---


def test_the_order_of_criteria_changes_nothing(model):
    found = predict(model, RUBRIC)
    for order in ([2, 1, 0], [1, 2, 0], [0, 2, 1]):
        torch.testing.assert_close(predict(model, [RUBRIC[k] for k in order]), found[order], atol=1e-6, rtol=0)


def test_other_criteria_change_nothing(model):
    """No leakage: p moves by less than 1e-6, whatever the other criteria say and however many they are."""
    found = predict(model, RUBRIC)
    others = [Criterion("exclude nisu"), Criterion("exactly 3 desu"), Criterion("at least 12 words"), NO_COMMAS]
    for rubric in ([START], [START, *others], [START, others[0], SHORT], [START, START]):
        assert (predict(model, rubric)[0] - found[0]).abs().max() < 1e-6
    assert (predict(model, [others[0]])[0] - found[0]).abs().max() > 1e-2  # its own text does matter


def test_padding_and_company_change_nothing(model):
    rng = random.Random(0)
    texts = [" ".join(rng.choices(tokens_of_the_language()[:40], k=rng.randint(1, 20))) for _ in range(20)]
    texts += ["", texts[0]]  # EOS alone; the same response twice
    offsets = offsets_of(model.tokenizer, texts)
    rubrics = [RUBRIC[: 1 + i % 3] for i in range(21)] + [[]]
    together = model.predict(rubrics, texts, offsets)
    assert together.shape[:2] == (22, 3) and together[21].sum() == 0
    for i in range(21):
        alone = model.predict([rubrics[i]], [texts[i]], [offsets[i]])[0]
        torch.testing.assert_close(together[i, : alone.shape[0], : alone.shape[1]], alone, atol=1e-5, rtol=1e-4)
        assert together[i, len(rubrics[i]) :].sum() == 0 and together[i, :, len(offsets[i]) :].sum() == 0


def test_one_criterion_has_the_shapes_of_the_other_kind(model):
    parts = tiny("llama", model.tokenizer)
    setattr(parts.model.config, TEMPLATE_KEY, MICRO_TEMPLATE)
    other = Discriminator(parts.model, model.tokenizer)
    for rubric in ([START], RUBRIC):
        one, two = predict(model, rubric), predict(other, rubric)
        assert one.shape == two.shape == (len(rubric), 5) and one.dtype == two.dtype
    assert [(t.start, t.end) for t in model.attribute(START.text, TEXT)] == [
        (t.start, t.end) for t in other.attribute(START.text, TEXT)
    ]
    assert model.predict([], [], []).shape == other.predict([], [], []).shape == (0, 0, 0)


def test_a_response_longer_than_the_window_is_refused(model):
    with pytest.raises(RTTError, match="the discriminator's window is"):
        predict(model, [START], " ".join(["bako"] * 600))


# --- training ---


def test_rows_hold_all_criteria_of_a_response():
    tokenizer = micro_tokenizer()
    encoder = PackedEncoder(tokenizer, MICRO_TEMPLATE)
    comma, everything = Label(((5, 6),)), Label(whole=True)
    examples = [
        LabelledExample(NO_COMMAS, "bako , desu", comma),
        LabelledExample(SHORT, "desu", everything),
        LabelledExample(SHORT, "bako , desu", everything),
    ]
    rows, cut = encoder.features(examples, 4)
    ids = tokenizer(": bako , desu")["input_ids"] + [tokenizer.eos_token_id]
    assert cut == 1 and [row["input_ids"] for row in rows] == [ids[:4], [ids[0], ids[3], tokenizer.eos_token_id]]
    assert rows[0]["criteria"] == [tokenizer("no commas")["input_ids"], tokenizer("at most 8 words")["input_ids"]]
    assert rows[0]["labels"] == [[IGNORED, 0, 1, 0], [IGNORED, 1, 1, 1]]
    batch = packed.collate(rows, pad=0)
    assert batch["labels"].shape == (2, 2, 4)
    assert batch["labels"][1].tolist() == [[IGNORED, 1, 1, IGNORED], [IGNORED] * 4]
    assert batch["criteria_input_ids"].shape == (2, 4) and batch["which"].tolist() == [[0, 1], [1, 0]]


def test_the_loss_in_training_is_equation_5_on_what_it_will_predict(model):
    examples = local_and_global(20, 0)
    rows, _ = model.encoder.features(examples, 64)
    batch = packed.collate(rows, pad=model.tokenizer.pad_token_id)
    with torch.no_grad():
        loss = bce_on_response({"logits": packed.joined_logits(model.model, batch)[..., None]}, batch["labels"])
    encoded = model.encoder.responses([example.response for example in examples])
    p = model.probabilities([(e.criterion.text, r) for e, r in zip(examples, encoded, strict=True)])
    terms = []
    for example, row in zip(examples, p, strict=True):
        text = example.response
        spans = [(i, i + 1) for i, c in enumerate(text) if c == ","]
        y = [example.label.whole or word == "," for word in text.split()] + [example.label.whole]
        assert example.label.whole or list(example.label.spans) == spans
        terms += [-np.log(q if marked else 1 - q) for q, marked in zip(row, y, strict=True)]
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_the_head_starts_large_enough_to_learn_products(architecture):
    """As transformers draws it (0.02), the micro world's never learnt to find a criterion's word in a response."""
    model = backbone(architecture, micro_tokenizer()).model
    PackedDiscriminator.prepare(model)
    head = model.score if architecture == "llama" else model.classifier
    assert head.weight.std().item() == pytest.approx(32**-0.5, rel=0.05)


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_learns_and_is_a_standard_checkpoint(architecture, tmp_path):
    tokenizer = micro_tokenizer()
    slower = replace(SETTINGS, learning_rate=3e-3, epochs=6)  # than a head of one output
    trained = train_packed(local_and_global(300, 0), backbone(architecture, tokenizer), tmp_path, slower, 0)
    loaded = load_discriminator(tmp_path)
    assert isinstance(loaded, PackedDiscriminator) and loaded.template == MICRO_TEMPLATE
    found = predict(loaded, [NO_COMMAS, SHORT], "desu , bako")
    assert found.gt(0.5).tolist() == [[False, True, False, False], [True] * 4]
    assert torch.equal(found, predict(trained, [NO_COMMAS, SHORT], "desu , bako"))
    assert AutoModelForTokenClassification.from_pretrained(tmp_path).config.num_labels == 2 * WIDTH + 2
    assert not list(tmp_path.glob("trainer-*")) and not list(tmp_path.glob("*.bin"))


def test_a_folder_says_which_kind_it_holds(tmp_path):
    tokenizer = micro_tokenizer()
    settings = profile.Discriminator(
        model="x", epochs=1, learning_rate=5e-3, micro_batch=32, global_batch=32, max_length=64, lora_rank=4
    )
    for name, train, kind in (("one", train_discriminator, Discriminator), ("all", train_packed, PackedDiscriminator)):
        base, folder = tmp_path / f"base-{name}", tmp_path / name
        Discriminator(tiny("llama", tokenizer, outputs=kind.OUTPUTS).model, tokenizer).save(base)
        whole = train(local_and_global(50, 0), base, folder, settings, 0, template=MICRO_TEMPLATE)
        for place in (folder, folder / "adapter"):
            found = load_discriminator(place)
            assert type(found) is type(whole) is kind
            torch.testing.assert_close(predict(found, RUBRIC), predict(whole, RUBRIC), atol=1e-5, rtol=1e-4)
    with pytest.raises(RTTError, match="neither a checkpoint"):
        (tmp_path / "empty").mkdir()
        load_discriminator(tmp_path / "empty")
