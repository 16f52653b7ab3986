"""A world for the tests: every prompt asks for the word `bako`, and a policy is one layer of random weights."""

from __future__ import annotations

from contextlib import contextmanager
from statistics import fmean

import torch
from toys import micro_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from rtt_lib import store
from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import verify
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.base import Supervised
from rtt_lib.worlds.micro.world import ON_CPU

THREADS, CONSTRUCTED, EQUAL_RUBRICS, TRAINED_BY_A_PERSON = 1, (), True, True
SAY = Criterion("include bako", "micro:include", {"word": "bako"})


def check(profile, require):
    require(profile.rl.steps == 1, "rl.steps", "the toy world lasts one step")


def names(profile, experiment):
    return ("toy",)


def open_world(profile, name):
    return ToyWorld(profile)


class ToyWorld:
    name, code, checkpoint_every = "toy", (__name__,), 1

    def __init__(self, profile):
        self.profile = profile

    def training_inputs(self, seed, discriminator):
        return {}

    def demonstration_inputs(self):
        return None

    def evaluation_inputs(self):
        return {}

    def lacking(self, record):
        return False

    def base(self, seed):
        def work(folder):
            torch.manual_seed(0)
            tokenizer = micro_tokenizer()
            size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
            LlamaForCausalLM(
                LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, **size)
            ).save_pretrained(folder)
            tokenizer.save_pretrained(folder)

        return store.make(store.folder_of("bases", "toy"), work, {})

    def policy(self, seed):
        return load_causal_lm(self.base(seed)), load_tokenizer(self.base(seed))

    def prompts(self, number, tokenizer):
        steps = self.profile.rl.prompts_per_step
        return [RubricPrompt(str(n), "include bako :", (SAY,)) for n in range(steps)], 0

    def chat(self, tokenizer):
        return False

    def verifier(self):
        return Verifier()

    def passes(self, responses, tokens, being):
        return responses, 1

    def trainer_settings(self, model):
        return ON_CPU

    def supervised(self, trainer):
        return Supervised(1, 1, {}, "")

    def evaluate(self, policy, folder, number):
        model, tokenizer = load_causal_lm(policy), load_tokenizer(policy)
        ids = torch.tensor([tokenizer("include bako :")["input_ids"]] * 4)
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, do_sample=False)
        texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
        share = fmean(verify(SAY, "", text) for text in texts)
        scores = {"all_satisfied": share, "satisfied": share, "families": {"say": share}}
        rest = {"out_of_domain": {"satisfied": None}, "language_loss": None, "mean_words": 3.0, "truncated": 1.0}
        return {"sampled": scores, "greedy": scores, **rest}


class Now:
    """What a pool of processes hands out, done at once."""

    def __init__(self, value=None):
        self.value = value

    def submit(self, work, *arguments):
        from concurrent.futures import Future

        future = Future()
        future.set_result(work(*arguments))
        return future


@contextmanager
def in_this_process(*arguments, **settings):
    """The toys are known here, and not to the processes of a pool."""
    yield Now()
