"""The discriminator: encoding and alignment by hand, loss against the formula, training on toy models."""

from __future__ import annotations

import random
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import byte_tokenizer, micro_tokenizer, tiny
from transformers import AutoModelForTokenClassification

from rtt_lib import profile
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json
from rtt_lib.relevance import discriminator as module
from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import MICRO_TEMPLATE, Discriminator, train_discriminator
from rtt_lib.relevance.encoding import IGNORED, LabelledExample
from rtt_lib.relevance.spans import token_offsets
from rtt_lib.schema import Criterion
from rtt_lib.worlds.micro.language import tokens_of_the_language

START = Criterion("start bako", "micro:start", {"word": "bako"})
NO_COMMAS = Criterion("no commas", "micro:no_commas")
SHORT = Criterion("at most 8 words", "micro:at_most_words", {"n": 8})
SETTINGS = profile.Discriminator(
    model="micro", epochs=3, learning_rate=1e-2, micro_batch=16, global_batch=32, max_length=64
)


# --- loss -------------------------------------------------------------------------------------------------------


def test_loss_is_equation_5_on_response_tokens_only():
    logits = torch.tensor([[[5.0], [0.2], [-1.0]], [[9.0], [9.0], [0.7]]])
    labels = torch.tensor([[IGNORED, 1.0, 0.0], [IGNORED, IGNORED, 1.0]])
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    terms = [-np.log(sigmoid(0.2)), -np.log(1 - sigmoid(-1.0)), -np.log(sigmoid(0.7))]
    assert module.bce_on_response({"logits": logits}, labels).item() == pytest.approx(sum(terms) / 3, rel=1e-6)
    of_twelve = module.bce_on_response({"logits": logits}, labels, num_items_in_batch=12)
    assert of_twelve.item() == pytest.approx(sum(terms) / 12, rel=1e-6)
    weighted = module.bce_on_response({"logits": logits}, labels, pos_weight=3.0)
    assert weighted.item() == pytest.approx((3 * terms[0] + terms[1] + 3 * terms[2]) / 3, rel=1e-6)


def test_balance_is_irrelevant_per_relevant():
    assert module.balance([{"labels": [IGNORED, 1.0, 0.0, 0.0]}, {"labels": [0.0]}]) == 3.0
    assert module.balance([{"labels": [IGNORED, 0.0]}]) == 1.0


# --- training ---------------------------------------------------------------------------------------------------


def local_and_global(n: int, seed: int) -> list[LabelledExample]:
    """What a model learns in seconds: commas are relevant to `no commas`, everything to a length limit."""
    rng, words = random.Random(seed), tokens_of_the_language()[:6]
    examples = []
    for _ in range(n):
        text = " ".join([*rng.choices([*words, ","], k=rng.randint(2, 8)), words[0]])
        commas = tuple((n, n + 1) for n, char in enumerate(text) if char == ",")
        examples.append(LabelledExample(NO_COMMAS, text, Label(commas)))
        examples.append(LabelledExample(SHORT, text, Label(((0, len(text)),), whole=True)))
    return examples


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert"])
def test_learns_and_is_a_standard_checkpoint(architecture, tmp_path):
    tokenizer = micro_tokenizer()
    trained = train_discriminator(local_and_global(300, 0), tiny(architecture, tokenizer), tmp_path, SETTINGS, 0)
    loaded = Discriminator.load(tmp_path)
    assert loaded.template == MICRO_TEMPLATE
    texts = ["desu , bako", "bako"]
    ids = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in texts]
    offsets = [token_offsets(tokenizer, row)[1] for row in ids]
    rubrics = [[NO_COMMAS, SHORT], [SHORT]]
    found = loaded.predict(rubrics, texts, offsets)
    assert found.shape == (2, 2, 4) and found.dtype == torch.float32
    assert found[0].gt(0.5).tolist() == [[False, True, False, False], [True] * 4]
    assert found[1, 0, :2].gt(0.5).all() and found[1, 0, 2:].sum() == 0 and found[1, 1].sum() == 0
    assert torch.equal(found, trained.predict(rubrics, texts, offsets))
    plain = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    prefix = tokenizer("no commas :")["input_ids"]
    with torch.no_grad():
        logits = plain(torch.tensor([prefix + ids[0]])).logits[0, len(prefix) :, 0]
    torch.testing.assert_close(found[0, 0], logits.sigmoid(), atol=1e-5, rtol=1e-4)
    assert not list(tmp_path.glob("trainer-*")) and not list(tmp_path.glob("*.bin"))
    losses = [row["loss"] for row in read_json(tmp_path / "training.json")["log"] if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]


def test_causal_sees_no_future_and_the_bidirectional_control_does():
    tokenizer = micro_tokenizer()
    for architecture, sees in (("llama", False), ("bert", True)):
        backbone = tiny(architecture, tokenizer)
        setattr(backbone.model.config, module.TEMPLATE_KEY, MICRO_TEMPLATE)
        discriminator = Discriminator(backbone.model, tokenizer)
        short = [token.relevance for token in discriminator.attribute(START.text, "bako desu")]
        long = [token.relevance for token in discriminator.attribute(START.text, "bako desu miru")]
        assert (abs(short[0] - long[0]) > 1e-6) == sees


def test_prediction_on_other_tokens_is_the_maximum_over_shared_characters(tmp_path):
    policy, own = micro_tokenizer(), byte_tokenizer()
    discriminator = Discriminator(tiny("llama", own).model, own)
    text = "bako , bako desu"
    ids = policy(text)["input_ids"] + [policy.eos_token_id]
    offsets = token_offsets(policy, ids)[1]
    found = discriminator.predict([[NO_COMMAS]], [text], [offsets])[0, 0]
    tokens = discriminator.attribute(NO_COMMAS.text, text)
    assert len(tokens) > len(ids)
    for t, (start, end) in enumerate(offsets[:-1]):
        shared = [token.relevance for token in tokens if max(token.start, start) < min(token.end, end)]
        assert found[t].item() == pytest.approx(max(shared), rel=1e-5)


def test_batching_does_not_change_predictions():
    tokenizer = micro_tokenizer()
    backbone = tiny("llama", tokenizer)
    setattr(backbone.model.config, module.TEMPLATE_KEY, MICRO_TEMPLATE)
    discriminator = Discriminator(backbone.model, tokenizer)
    rng = random.Random(0)
    texts = [" ".join(rng.choices(tokens_of_the_language()[:40], k=rng.randint(1, 20))) for _ in range(20)]
    texts.append("")  # a response that is EOS only
    offsets = [token_offsets(tokenizer, tokenizer(t)["input_ids"] + [tokenizer.eos_token_id])[1] for t in texts]
    rubrics = [[NO_COMMAS, SHORT, START][: 1 + i % 3] for i in range(21)]
    together = discriminator.predict(rubrics, texts, offsets)
    assert torch.equal(together, discriminator.predict(rubrics, texts, offsets))
    for i in range(21):
        alone = discriminator.predict([rubrics[i]], [texts[i]], [offsets[i]])[0]
        torch.testing.assert_close(together[i, : alone.shape[0], : alone.shape[1]], alone, atol=1e-5, rtol=1e-4)


def test_lora_is_merged_and_its_adapter_loads_on_the_base(tmp_path):
    tokenizer = micro_tokenizer()
    base = tiny("llama", tokenizer)
    Discriminator(base.model, tokenizer).save(tmp_path / "base")
    settings = profile.Discriminator(
        model="x", epochs=1, learning_rate=5e-3, micro_batch=32, global_batch=32, max_length=64, lora_rank=4
    )
    examples = local_and_global(100, 0)
    trained = train_discriminator(examples, tmp_path / "base", tmp_path / "out", settings, 0, template=MICRO_TEMPLATE)
    merged, adapted = Discriminator.load(tmp_path / "out"), Discriminator.load(tmp_path / "out" / "adapter")
    expected = [token.relevance for token in trained.attribute(NO_COMMAS.text, "bako , desu")]
    untrained = [token.relevance for token in Discriminator.load(tmp_path / "base").attribute("no commas", "bako ,")]
    assert abs(expected[0] - untrained[0]) > 1e-3
    for other in (merged, adapted):
        found = [token.relevance for token in other.attribute(NO_COMMAS.text, "bako , desu")]
        assert found == pytest.approx(expected, abs=1e-5)
    assert not list((tmp_path / "out").rglob("*.bin"))
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(RTTError, match="needs its base model"):
        Discriminator.load(tmp_path / "out" / "adapter")


def test_a_micro_one_trains_and_loads_on_the_cpu_of_a_machine_with_a_gpu(tmp_path, monkeypatch):
    for where in (torch.cuda, torch.accelerator):
        monkeypatch.setattr(where, "is_available", lambda: True)
    backbone = tiny("llama", micro_tokenizer())
    trainer = module._trainer(
        Discriminator, backbone, [{"input_ids": [1], "labels": [1.0]}], tmp_path, SETTINGS, 0, 1.0, {}
    )
    assert trainer.args.device.type == trainer.model.device.type == "cpu"
    Discriminator(backbone.model, backbone.tokenizer).save(tmp_path / "saved")
    assert Discriminator.load(tmp_path / "saved").model.device.type == "cpu"


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("main", [True, False])
def test_of_several_processes_one_writes(tmp_path, rank, main):
    backbone = tiny("llama", micro_tokenizer())
    model = module._with_lora(backbone.model, rank) if rank else backbone.model
    trainer = SimpleNamespace(
        model=model,
        accelerator=SimpleNamespace(unwrap_model=lambda model: model),
        is_world_process_zero=lambda: main,
        save_model=lambda folder: None,  # transformers' own knows which process writes
    )
    found = module._finish(trainer, backbone, "x/y", tmp_path, Discriminator)
    assert found.attribute(NO_COMMAS.text, "bako")
    assert bool(list(tmp_path.rglob("*"))) is main


def test_interrupted_training_ends_where_the_uninterrupted_does(tmp_path):
    from transformers import TrainerCallback

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise KeyboardInterrupt

    tokenizer, examples = micro_tokenizer(), local_and_global(200, 0)
    options = {"save_strategy": "steps", "save_steps": 2}
    arguments = (examples, SETTINGS, 0)

    def train(folder, **more):
        return train_discriminator(
            arguments[0], tiny("llama", tokenizer), folder, *arguments[1:], options=options, **more
        )

    whole = train(tmp_path / "whole")
    original = module._trainer

    def killed(*positional):
        trainer = original(*positional)
        trainer.add_callback(Kill())
        return trainer

    module._trainer = killed
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut")
    finally:
        module._trainer = original
    assert list((tmp_path / "cut").glob("trainer-*/checkpoint-4"))
    resumed = train(tmp_path / "cut")
    assert len(read_json(tmp_path / "cut" / "training.json")["log"]) > 0
    a, b = ([t.relevance for t in d.attribute("no commas", "bako , desu")] for d in (whole, resumed))
    assert a == pytest.approx(b, abs=1e-6)


def test_trains_with_checkpointing_and_bf16(tmp_path):
    settings = profile.Discriminator(
        model="x", epochs=1, learning_rate=1e-3, micro_batch=8, global_batch=16, max_length=64, bf16=True
    )
    examples = local_and_global(8, 0)
    train_discriminator(
        examples, tiny("llama", micro_tokenizer()), tmp_path, settings, 0, options={"gradient_checkpointing": True}
    )
    assert (tmp_path / "model.safetensors").is_file()


def test_errors_are_plain(tmp_path):
    with pytest.raises(RTTError, match="no such folder"):
        Discriminator.load(tmp_path / "nothing")
    with pytest.raises(RTTError, match="neither a checkpoint"):
        Discriminator.load(tmp_path)
    with pytest.raises(RTTError, match="no training examples"):
        train_discriminator([], tmp_path, tmp_path, SETTINGS, 0)
    tokenizer = micro_tokenizer()
    backbone = tiny("llama", tokenizer)
    setattr(backbone.model.config, module.TEMPLATE_KEY, MICRO_TEMPLATE)
    with pytest.raises(RTTError, match="window is 128"):
        Discriminator(backbone.model, tokenizer).attribute("no commas", "bako " * 200)
