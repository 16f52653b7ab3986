"""Chats: TRL's own tool loop around a toy model, tokens of an environment, conversations of several turns."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from rtt_grpo_toy import GROUP, byte_tokenizer, rollouts, train, varied
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback

from rtt_lib.bench.generate import prompt_ids
from rtt_lib.methods.rtt_grpo import RTTGRPOConfig, RTTGRPOTrainer, rubric_dataset
from rtt_lib.relevance.sources import Random
from rtt_lib.relevance.spans import own_offsets
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.micro.world import ON_CPU

CALL = '<tool_call>\n{"name": "look_up", "arguments": {"word": "milk"}}\n</tool_call>'
CRITERIA = ["Say milk.", "Use no exclamation mark."]


def look_up(word: str) -> str:
    """
    Look a word up.

    Args:
        word: The word.

    Returns:
        What it means.
    """
    return f"{word}!!! White! Wet! Good!"


class Encyclopedia:
    """An environment: it opens each episode with a sentence and offers the tool as a method."""

    def reset(self, **row) -> str:
        return " You may look words up."

    def look_up(self, word: str) -> str:
        """
        Look a word up.

        Args:
            word: The word.

        Returns:
            What it means.
        """
        return look_up(word)


def chat_tokenizer(template: str = "qwen3_instruct_2507"):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens(
        {"eos_token": "<|im_end|>", "pad_token": "<pad>", "additional_special_tokens": ["<|im_start|>"]}
    )
    tokenizer.chat_template = resources.files("trl").joinpath(f"chat_templates/{template}.jinja").read_text()
    return tokenizer


class Scripted(LlamaForCausalLM):
    """Learns as any model; what it samples is written down: of a cat's group the first half asks the tool first."""

    def generate(self, input_ids, **kwargs):
        read = self.tokenizer.batch_decode(input_ids)
        answers = [
            self.tokenizer(self.line(n, text) + self.tokenizer.eos_token).input_ids for n, text in enumerate(read)
        ]
        width = max(map(len, answers))
        rows = [row + [self.tokenizer.pad_token_id] * (width - len(row)) for row in answers]
        return torch.cat([input_ids, torch.tensor(rows)], 1)

    def line(self, n: int, text: str) -> str:
        if "<tool_response>" in text:
            return "A cat drinks milk."
        if "a cat" in text:
            return CALL if n < GROUP // 2 else "No idea!"
        return f"A dog does not{'!' * (n % 2)} {'wo' * n}f."


def toy_model(tokenizer, cls=LlamaForCausalLM):
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return cls(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **size))


def tool_trainer(folder: Path, cls=RTTGRPOTrainer, kind: str = "tools", **changes) -> RTTGRPOTrainer:
    tokenizer = chat_tokenizer()
    model = toy_model(tokenizer, Scripted)
    model.tokenizer = tokenizer
    seen: list[str] = []
    asked: set[str] = set()

    def verifier(prompts, responses, rubrics):
        seen.extend(responses)
        asked.update(prompts)
        return [["milk" in text, "!" not in text] for text in responses]

    data = [
        {"prompt": [{"role": "user", "content": f"Tell of {animal}."}], "criteria": CRITERIA}
        for animal in ("a cat", "a dog")
    ]
    args = RTTGRPOConfig(
        str(folder), max_steps=1, per_device_train_batch_size=2 * GROUP, num_generations=GROUP, shuffle_dataset=False,
        max_completion_length=400, learning_rate=1e-2, response_reward="csr", save_strategy="no", logging_steps=1,
        save_rollouts_every=1, **{**ON_CPU, **changes},
    )  # fmt: skip
    trainer = cls(
        model, verifier, Random(), args=args, train_dataset=Dataset.from_list(data), processing_class=tokenizer,
        **({"tools": [look_up]} if kind == "tools" else {"environment_factory": Encyclopedia}),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.seen, trainer.asked = seen, asked
    return trainer


class Inputs(RTTGRPOTrainer):
    def _compute_loss(self, model, inputs):
        self.inputs = dict(inputs)
        return super()._compute_loss(model, inputs)


@pytest.mark.parametrize("kind", ["tools", "environment"])
def test_with_tools_the_models_turns_alone_are_verified_and_credited(tmp_path, kind):
    trainer = tool_trainer(tmp_path, cls=Inputs, kind=kind, per_group_token_mean=False)
    trainer.train()
    hint = " You may look words up." if kind == "environment" else ""
    assert trainer.asked == {f"Tell of a cat.{hint}", f"Tell of a dog.{hint}"}
    assert trainer.state.log_history[0]["tools/call_frequency"] == 2 / 8  # TRL's loop did run
    asked = [text for text in trainer.seen if "look_up" in text]
    assert asked == [f"{CALL}\nA cat drinks milk."] * 2
    assert not any("White" in text or "tool_response" in text for text in trainer.seen)

    rows = rollouts(tmp_path)
    assert [row["verdicts"] for row in rows] == [[True, True]] * 2 + [[False, False]] * 2 + [
        [False, True],
        [False, False],
    ] * 2
    for row in rows:
        assert len(row["tokens"]) == len(row["offsets"]) == len(row["a_tok"])
        assert sum(row["a_tok"]) == pytest.approx(0, abs=2e-4 * len(row["a_tok"]))
        pieces = [row["response"][start:end] for start, end in row["offsets"]]
        assert "".join(pieces) == row["response"].replace("\n<|im_end|>\n", "").replace(f"{CALL}\n", CALL)

    inputs = trainer.inputs
    own = (inputs["completion_mask"] * inputs["tool_mask"]).bool()
    others = inputs["completion_mask"].bool() & ~own
    assert others.sum() > 100
    for advantages, mine, theirs in zip(inputs["advantages"], own, others, strict=True):
        # Over a response's own tokens intra credit is zero on average: what is left is A_res, and so it is on others'.
        a_res = advantages[mine].mean()
        torch.testing.assert_close(advantages[theirs], a_res.expand(int(theirs.sum())), atol=1e-5, rtol=0)


def test_with_tools_every_group_has_the_same_share_of_the_loss(tmp_path):
    trainer = tool_trainer(tmp_path, cls=Inputs, token_beta=0.0, max_tool_calling_iterations=1)
    trainer.train()
    inputs, tokenizer = trainer.inputs, trainer.processing_class
    a_res = {row["response"]: row["a_res"] for row in rollouts(tmp_path)}
    shares = {"a cat": 0.0, "a dog": 0.0}
    for i, own in enumerate((inputs["completion_mask"] * inputs["tool_mask"]).bool()):
        text, _ = own_offsets(tokenizer, inputs["completion_ids"][i].tolist(), own.tolist())
        animal = "a cat" if "a cat" in tokenizer.decode(inputs["prompt_ids"][i]) else "a dog"
        scale = inputs["advantages"][i].item() / a_res[text]
        shares[animal] += scale * own.sum().item() / inputs["num_items_in_batch"].item()
    assert shares == pytest.approx({"a cat": 0.5, "a dog": 0.5}, abs=1e-4)


def test_a_conversation_reaches_the_policy_and_the_verifier_whole(tmp_path):
    """Under Qwen2.5's template a lone user message gets a system prompt of the model's own."""
    turns = (("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Tell of a dog."))
    text = "[system]\nBe brief.\n\n[user]\nHi\n\n[assistant]\nHello.\n\n[user]\nTell of a dog."
    prompt = RubricPrompt("1", text, (Criterion("Say dog."),), messages=turns)
    tokenizer = chat_tokenizer("qwen2_5")
    asked: list[str] = []

    def verifier(prompts, responses, rubrics):
        asked.extend(prompts)
        return [["dog" in response] for response in responses]

    args = RTTGRPOConfig(
        str(tmp_path), max_steps=1, per_device_train_batch_size=2, num_generations=2, max_completion_length=4,
        save_strategy="no", **ON_CPU,
    )  # fmt: skip
    data = Dataset.from_list(rubric_dataset([prompt, prompt], conversational=True))
    trainer = Inputs(
        toy_model(tokenizer), verifier, Random(), args=args, train_dataset=data, processing_class=tokenizer
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    policy_read = tokenizer.decode(trainer.inputs["prompt_ids"][0])
    assert policy_read == tokenizer.decode(prompt_ids(prompt, tokenizer))
    assert "<|im_start|>system\nBe brief.<|im_end|>" in policy_read and "You are Qwen" not in policy_read
    assert policy_read.count("<|im_start|>") == 5
    assert asked == [text] * 2


def with_environment(n: int, blocks: bool):
    """`varied` completions; with `blocks` an environment writes five tokens after the first one of each."""
    plain = varied(n)["rollout_func"]
    word = 7

    def rollout(prompts, trainer):
        output = plain(prompts, trainer)
        rows = output["completion_ids"]
        if blocks:
            output["env_mask"] = [[1] + [0] * 5 + [1] * (len(row) - 1) for row in rows]
            output["completion_ids"] = [[row[0], *[word] * 5, *row[1:]] for row in rows]
        return output

    return {"rollout_func": rollout}


@pytest.mark.parametrize("scheme", ["intra", "inter", "relative", "position"])
def test_an_environments_tokens_change_no_credit(tmp_path, scheme):
    found = {}
    for blocks in (False, True):
        folder = tmp_path / str(blocks)
        trainer = train(
            folder, scheme=scheme, extra=with_environment(2 * GROUP, blocks), max_steps=1,
            save_rollouts_every=1, credit_eos=False,
        )  # fmt: skip
        found[blocks] = rollouts(folder), trainer.state.log_history[0]
    (plain, plain_log), (mixed, mixed_log) = found[False], found[True]
    for a, b in zip(plain, mixed, strict=True):
        assert (a["tokens"], a["verdicts"], a["a_res"]) == (b["tokens"], b["verdicts"], b["a_res"])
        assert a["relevance"] == b["relevance"] and a["a_tok"] == b["a_tok"]
        assert a["response"].split() == b["response"].split()
    assert any(any(row["a_tok"]) for row in plain)
    for name in ("credit/eos", "credit/a_tok_abs", "credit/a_tok_max", "completions/mean_length"):
        assert plain_log[name] == pytest.approx(mixed_log[name])


def test_turns_stand_on_lines_of_their_own():
    tokenizer = chat_tokenizer()
    first, other, second = (tokenizer(text).input_ids for text in ("Hé<|im_end|>", "\nnobody\n", "né!<|im_end|>"))
    text, offsets = own_offsets(
        tokenizer, first + other + second, [1] * len(first) + [0] * len(other) + [1] * len(second)
    )
    assert text == "Hé\nné!"
    assert offsets == [(0, 1), (1, 2), (1, 2), (2, 2)] + [(2, 2)] * len(other) + [
        (3, 4),
        (4, 5),
        (4, 5),
        (5, 6),
        (6, 6),
    ]
    assert own_offsets(tokenizer, other, [0] * len(other)) == ("", [(0, 0)] * len(other))
