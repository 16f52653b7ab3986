"""Which tokens of a conversation are learned, token by token on a conversation made by hand."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaForCausalLM

from rtt_lib.errors import RTTError
from rtt_lib.methods.turns import UNLEARNED, Encoded, Turn, encode, padded
from rtt_lib.models import load_tokenizer
from rtt_lib.worlds.levels.policy import levels_tokenizer
from rtt_lib.worlds.micro.policy import micro_config

TURNS = (
    Turn("user", "<ask> start bako :"),
    Turn("assistant", "bako deko", True),
    Turn("user", "<ask> start bako ; no commas :"),
    Turn("assistant", "fiko ,"),  # a weak draft
    Turn("user", "<ask> no ; no commas :"),
    Turn("assistant", "bako = words 1", True),
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_the_loss_is_on_the_marked_answers_and_their_end_tokens():
    tokenizer = levels_tokenizer()
    found = encode(TURNS, tokenizer, chat=False)
    expected = [
        *[(word, False) for word in ["<ask>", "start", "bako", ":"]],
        *[(word, True) for word in ["bako", "deko", "<eos>"]],
        *[(word, False) for word in ["<ask>", "start", "bako", ";", "no", "commas", ":"]],
        *[(word, False) for word in ["fiko", ",", "<eos>"]],
        *[(word, False) for word in ["<ask>", "no", ";", "no", "commas", ":"]],
        *[(word, True) for word in ["bako", "=", "words", "1", "<eos>"]],
    ]
    assert tokenizer.convert_ids_to_tokens(found.ids) == [word for word, _ in expected]
    assert [label != UNLEARNED for label in found.labels] == [learned for _, learned in expected]
    assert all(label in (id, UNLEARNED) for id, label in zip(found.ids, found.labels, strict=True))
    assert found.learned == 3 + 5


def test_in_a_chat_template_the_loss_is_on_what_the_policy_would_write(text_folder):
    tokenizer = load_tokenizer(text_folder / "model")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    turns = [
        Turn("user", "Name a cat."),
        Turn("assistant", "Tom", True),
        Turn("user", "In capitals."),
        Turn("assistant", "tom"),
        Turn("user", "No: in capitals."),
        Turn("assistant", "TOM", True),
    ]
    found = encode(turns, tokenizer, chat=True)
    pieces, learning = [], False
    for id, label in zip(found.ids, found.labels, strict=True):
        if label != UNLEARNED and not learning:
            pieces.append([])
        learning = label != UNLEARNED
        if learning:
            pieces[-1].append(id)
    assert [tokenizer.decode(piece) for piece in pieces] == ["Tom<|im_end|>", "TOM<|im_end|>"]
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    assert tokenizer.decode(found.ids) == tokenizer.apply_chat_template(messages, tokenize=False)


def test_a_template_that_rewrites_earlier_turns_is_refused(text_folder):
    tokenizer = load_tokenizer(text_folder / "model")
    tokenizer.chat_template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(RTTError, match="changes earlier turns"):
        encode([Turn("user", "a"), Turn("assistant", "b", True), Turn("user", "c")], tokenizer, chat=True)


def test_what_is_unlearned_changes_no_gradient():
    """The loss of the whole conversation is the mean over the marked tokens, found one at a time."""
    tokenizer = levels_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(len(tokenizer))).eval()
    found = encode(TURNS, tokenizer, chat=False)
    batch = padded([found, Encoded([5, 6], [UNLEARNED, UNLEARNED])], tokenizer.pad_token_id)
    assert batch["input_ids"].shape == (2, len(found.ids)) and batch["attention_mask"].sum() == len(found.ids) + 2
    with torch.no_grad():
        loss = model(**batch).loss
        logits = model(input_ids=torch.tensor([found.ids])).logits[0].log_softmax(-1)
    each = [-logits[t - 1, found.ids[t]] for t, label in enumerate(found.labels) if label != UNLEARNED]
    assert loss.item() == pytest.approx(torch.stack(each).mean().item(), abs=1e-5)
