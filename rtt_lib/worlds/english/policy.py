"""The English world's policy: a small causal transformer with its own tokenizer, pretrained on the spot."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from rtt_lib import store
from rtt_lib.bench.generate import prompt_ids
from rtt_lib.fingerprint import code_digest, short
from rtt_lib.models import device_for, precision
from rtt_lib.worlds.english.corpus import DIALS, pretraining_pairs

PAD, END, USER, ASSISTANT = SPECIAL = ("<pad>", "<end>", "<user>", "<assistant>")
CHAT = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
IGNORED = -100  # no loss on this token
BATCH = 32
LEARNING_RATE = 2e-3  # at its peak
ALIKE = 16  # so many batches are drawn together and shared out by length, so that little of a batch is padding
ECHOES = 0.5  # steps of saying random tokens again, before all others, as a share of these
ECHOED = (4, 20)  # so many tokens: a policy that can copy anything soon finds out which words of a prompt to copy
WARM_UP = 0.1  # the share of all steps in which the learning rate rises
WINDOW = 512  # tokens of prompt and response, or of criterion and response
ATTENTION = "eager"  # on a CPU the gradient of torch's own attention takes longer than all the rest, in bfloat16


@dataclass(frozen=True)
class Size:
    """Of the transformer; with 4 layers of width 192 it has 2.1 M weights."""

    layers: int = 4
    width: int = 192
    vocabulary: int = 1536


SIZE = Size()


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte pairs learnt from `texts`; every text is encoded without loss."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def config(tokenizer: PreTrainedTokenizerFast, size: Size) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=8 * size.width // 3,
        num_hidden_layers=size.layers,
        num_attention_heads=max(1, size.width // 32),
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        attn_implementation=ATTENTION,
    )


Row = tuple[list[int], list[int]]  # the prompt in the chat template; the response with its end token


def encode(tokenizer: PreTrainedTokenizerFast, prompt: str, response: str) -> Row:
    return prompt_ids(prompt, tokenizer), [*tokenizer(response).input_ids, tokenizer.eos_token_id]


def collate(rows: Sequence[Row], pad: int) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask, labels, each [B, T], padded on the right; only the response is learned."""
    width = max(len(prompt) + len(response) for prompt, response in rows)
    ids, labels = torch.full((len(rows), width), pad), torch.full((len(rows), width), IGNORED)
    known = torch.zeros_like(ids)
    for i, (prompt, response) in enumerate(rows):
        begin, end = len(prompt), len(prompt) + len(response)
        ids[i, :end], known[i, :end] = torch.tensor(prompt + response), 1
        labels[i, begin:end] = torch.tensor(response)
    return {"input_ids": ids, "attention_mask": known, "labels": labels}


def echoes(tokenizer: PreTrainedTokenizerFast, n: int, rng: random.Random) -> list[Row]:
    """Prompts of random tokens, each with the same tokens as its response."""
    before, *behind = prompt_ids("", tokenizer)
    ordinary = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids))
    said = [rng.choices(ordinary, k=rng.randint(*ECHOED)) for _ in range(n)]
    return [([before, *ids, *behind], [*ids, tokenizer.eos_token_id]) for ids in said]


def batches(rows: Sequence[Row], steps: int, rng: random.Random) -> Iterator[list[Row]]:
    """`steps` batches of rows of similar length, in random order: pass after pass over all rows."""
    waiting: list[Row] = []
    ready: list[list[Row]] = []
    for _ in range(steps):
        if not ready:
            while len(waiting) < BATCH:
                waiting += rng.sample(list(rows), len(rows))
            n = min(ALIKE, len(waiting) // BATCH) * BATCH
            alike, waiting = sorted(waiting[:n], key=_length), waiting[n:]
            ready = [alike[start : start + BATCH] for start in range(0, n, BATCH)]
            rng.shuffle(ready)
        yield ready.pop()


def _length(row: Row) -> int:
    return sum(map(len, row))


def pretrain(base: str, steps: int, output: Path) -> None:
    """Pretrain a base policy from its own random weights: first to copy, then, for `steps`, on its own corpus."""
    torch.manual_seed(ord(base))
    pairs = pretraining_pairs(min(DIALS.pairs, steps * BATCH), base, DIALS)  # none that no step would see
    texts = (text for pair in pairs for text in (pair.prompt.prompt, pair.response))
    tokenizer = train_tokenizer(texts, SIZE.vocabulary)
    model = LlamaForCausalLM(config(tokenizer, SIZE))
    model.to(device_for(model))
    rows, rng = [encode(tokenizer, pair.prompt.prompt, pair.response) for pair in pairs], random.Random(f"rows {base}")
    copying = round(ECHOES * steps)
    lessons = chain(batches(echoes(tokenizer, copying * BATCH, rng), copying, rng), batches(rows, steps, rng))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=max(2, copying + steps), pct_start=WARM_UP
    )
    for batch in lessons:
        loss_of(model, batch, tokenizer.pad_token_id).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


def loss_of(model: PreTrainedModel, rows: Sequence[Row], pad: int) -> torch.Tensor:
    """Mean negative log-likelihood of a response token, in bfloat16 where that is fast."""
    inputs = {name: values.to(model.device) for name, values in collate(rows, pad).items()}
    with torch.autocast(model.device.type, torch.bfloat16, enabled=precision() == "bfloat16"):
        return model(**inputs).loss


def base_fingerprint(base: str, steps: int) -> str:
    return short(
        {
            "base": base,
            "steps": steps,
            "dials": asdict(DIALS),
            "size": asdict(SIZE),
            "precision": precision(),
            "code": code_digest("rtt_lib.worlds.english.policy"),
        }
    )


def folder_of(base: str, steps: int) -> Path:
    return store.folder_of("bases", base_fingerprint(base, steps))


def base_policy(base: str, steps: int) -> Path:
    """The folder of base policy A or B or ...: pretrained now unless it is there already."""

    def work(folder: Path) -> None:
        with one_thread():
            pretrain(base, steps, folder)

    return store.make(folder_of(base, steps), work, {"name": f"english, base {base}, {steps} steps"})


@contextmanager
def one_thread() -> Iterator[None]:
    """What is trained is the same on any number of cores, also in a notebook's own process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
