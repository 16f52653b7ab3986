"""Examples of what a discriminator reads in RL: the policy's own responses to composed prompts, labelled by rule.

They cost a model's time and nothing else. The policy is the profile's, sampled with the settings of RL by
`rtt_lib.bench.fast`, on tasks that no held-out prompt has. The responses are kept in the store.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtt_lib import store
from rtt_lib.bench.generate import generate
from rtt_lib.files import read_jsonl
from rtt_lib.fingerprint import short
from rtt_lib.models import precision
from rtt_lib.profile import Evaluation, Profile
from rtt_lib.relevance.annotate import Annotator
from rtt_lib.relevance.corpus import label_response
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.rubrics.compose import compose
from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.text.prompts import split_tasks

OWN = "own"  # how a response was made: by the policy
OWN_SEED = 4_000_000  # of the composer: no profile's data.seed
MOST_CRITERIA = 4  # of a prompt, as where responses are constructed


def own_prompts(profile: Profile, n: int, seed: int, families: Sequence[str]) -> list[RubricPrompt]:
    """On training tasks: notebook 03 examines discriminators on responses to held-out ones."""
    tasks = split_tasks(profile)[0]
    return compose(tasks, n, OWN_SEED + seed, max_constraints=min(MOST_CRITERIA, len(families)), families=families)


def own_examples(
    profile: Profile, n: int, seed: int, families: Sequence[str], annotator: Annotator
) -> list[LabelledExample]:
    """Every criterion of the policy's responses to `n` prompts, one each. An empty response gives no example."""
    prompts, rl = own_prompts(profile, n, seed, families), profile.rl
    settings = Evaluation(
        completions=1,
        temperature=rl.temperature,
        top_p=rl.top_p,
        top_k=rl.top_k,
        max_tokens=rl.max_response_tokens,
        seed=seed,
    )
    name = short([profile.policy.model, n, seed, list(families), profile.data.path, rl.max_response_tokens])
    out = store.root() / "rollouts" / f"own-{name}.jsonl"
    path = generate(prompts, profile.policy.model, settings, out, "fast", precision())
    return [
        example
        for prompt, (_, row) in zip(prompts, read_jsonl(path), strict=True)
        if row["response"]
        for example in label_response(prompt, row["response"], annotator, OWN)
    ]
