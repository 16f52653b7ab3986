"""Rubric rewards in other packages: TRL's plain GRPOTrainer, in a real training of two steps."""

from __future__ import annotations

import inspect
import json
import math
import re
from functools import partial

import pytest
import trl
from datasets import Dataset
from toys import byte_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer

from rtt_lib.errors import RTTError
from rtt_lib.profile import REPOSITORY
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.reward import read_rubric, rubric_reward
from rtt_lib.verify.verdict import Verdict
from rtt_lib.worlds.micro.world import ON_CPU

NO_COMMA = {"text": "No commas.", "verifier": "ifeval:punctuation:no_comma", "args": {}}
TWO = {
    "text": "Two words at least.",
    "verifier": "ifeval:length_constraints:number_words",
    "args": {"num_words": 2, "relation": "at least"},
}
SOFT = {"text": "Be kind."}


def test_scores_by_hand():
    rubrics = [[NO_COMMA, TWO]] * 4 + [[NO_COMMA, SOFT], [SOFT]]
    texts = ["one two", "one, two", "one", ",", "one", "one"]
    assert rubric_reward("aon")(["p"] * 6, texts, criteria=rubrics) == [1, 0, 0, 0, None, None]
    assert rubric_reward("csr")(["p"] * 6, texts, criteria=rubrics) == [1, 0.5, 0.5, 0, 1, None]


def test_chats_json_text_and_columnar_arguments():
    chat = [{"role": "user", "content": "p"}], [{"role": "assistant", "content": "one, two"}]
    filled = {**TWO, "args": {**TWO["args"], "keyword": None}}  # as a columnar data set gives it
    reward = rubric_reward("csr", column="rubric")
    for rubric in ([NO_COMMA, TWO], json.dumps([NO_COMMA, TWO]), (NO_COMMA, filled)):
        assert reward([chat[0]], [chat[1]], rubric=[rubric], other=["x"]) == [0.5]


def test_any_verifier_can_decide():
    class Kind(Verifier):
        def __call__(self, prompts, responses, rubrics):
            return [[Verdict(criterion.text in response) for criterion in rubric] for response, rubric in
                    zip(responses, rubrics, strict=True)]  # fmt: skip

    assert rubric_reward("csr", Kind())(["p"], ["a b"], criteria=[["a", "b", "c", "d"]]) == [0.5]


def test_the_example_of_the_page(tmp_path, monkeypatch):
    """All of it but the training: the columns are those that the reward reads."""
    kept = {}

    class Trainer(GRPOTrainer):
        def __init__(self, *args, **kwargs):
            kept.update(inspect.signature(GRPOTrainer.__init__).bind(self, *args, **kwargs).arguments)

        def train(self):
            (reward,), data = kept["reward_funcs"], kept["train_dataset"]
            kept["scores"] = reward(data["prompt"][:2], ["a cat", "a cat, milk"], criteria=data["criteria"][:2])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trl, "GRPOTrainer", Trainer)
    monkeypatch.setattr(trl, "GRPOConfig", partial(GRPOConfig, **ON_CPU))
    page = (REPOSITORY / "docs" / "graders.md").read_text(encoding="utf-8")
    (example,) = (text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "GRPOTrainer" in text)
    exec(example, {})
    assert kept["scores"] == [1, 0] and isinstance(kept["args"], GRPOConfig)


def test_mistakes_are_named():
    with pytest.raises(RTTError, match="choose 'aon' or 'csr'"):
        rubric_reward("mean")
    with pytest.raises(RTTError, match="no column 'criteria'"):
        rubric_reward()(["p"], ["r"])
    for value, message in [("[", "not valid JSON"), (3, "expected a list"), ([3], "must be an object")]:
        with pytest.raises(RTTError, match=rf"criteria\[0\]: .*{message}"):
            rubric_reward()(["p"], ["r"], criteria=[value])
    assert [c.hard for c in read_rubric([NO_COMMA, SOFT, "x"], "here")] == [True, False, False]


def test_trl_trains_with_it(tmp_path):
    """The rewards that TRL logs are those of the completions that it made."""
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    seen = []

    def spy(prompts, completions, **columns):
        values = rubric_reward("csr")(prompts, completions, **columns)
        seen.extend(zip(completions, values, strict=True))
        return values

    data = Dataset.from_list([{"prompt": "bako", "criteria": json.dumps([NO_COMMA, TWO])}] * 8)
    arguments = GRPOConfig(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, num_generations=4,
        max_completion_length=8, save_strategy="no", logging_steps=1, **ON_CPU,
    )  # fmt: skip
    trainer = GRPOTrainer(
        LlamaForCausalLM(config), reward_funcs=[rubric_reward("csr"), spy], args=arguments, train_dataset=data,
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    logged = [row for row in trainer.state.log_history if "rewards/rubric_csr/mean" in row]
    assert len(logged) == 2 and len(seen) == 8
    for n, row in enumerate(logged):
        ours = [value for _, value in seen[4 * n : 4 * n + 4]]
        assert math.isclose(row["rewards/rubric_csr/mean"], sum(ours) / 4, abs_tol=1e-6)
        hand = [(len(re.findall(r"\w+", text)) >= 2) + ("," not in text) for text, _ in seen[4 * n : 4 * n + 4]]
        blank = [not text.strip() for text, _ in seen[4 * n : 4 * n + 4]]
        assert ours == [0 if nothing else value / 2 for value, nothing in zip(hand, blank, strict=True)]
    assert {value for _, value in seen} <= {0.0, 0.5, 1.0}
