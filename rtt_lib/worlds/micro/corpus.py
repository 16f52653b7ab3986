"""Labelled examples for the discriminator in the micro world, made the way section 4.1 makes them from text.

Responses: positives that satisfy the whole rubric; negatives by constraint omission (one constraint withheld) and by
minimal modification (the smallest edit that flips exactly one verdict); and the base policy's kind of text, in which
some constraints hold. Labels come from an annotator that sees criterion, response and verdict, never a policy.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from rtt_lib.relevance.annotate import Annotator, taxonomy
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import check, verify
from rtt_lib.verify.micro import COMMA
from rtt_lib.worlds.micro.language import WORDS, Dials, Language, construct, partly_honoured, sample_prompts


def minimal_modification(
    prompt: RubricPrompt, response: str, k: int, rng: random.Random, tries: int = 60
) -> str | None:
    """One token replaced, inserted or deleted so that criterion k's verdict flips and no other's; None if not found."""
    before = [verify(criterion, prompt.prompt, response) for criterion in prompt.criteria]
    wanted = [not value if j == k else value for j, value in enumerate(before)]
    for _ in range(tries):
        edited = _edit(response.split(), prompt.criteria[k], rng)
        if edited and [verify(criterion, prompt.prompt, edited) for criterion in prompt.criteria] == wanted:
            return edited
    return None


def _edit(tokens: list[str], criterion: Criterion, rng: random.Random) -> str:
    """A random one-token edit. The criterion's own word and the comma are likely, since they decide it."""
    place = rng.choice((0, len(tokens) - 1, rng.randrange(len(tokens))))
    token = rng.choice((criterion.args.get("word", COMMA), COMMA, rng.choice(WORDS)))
    match rng.choice(("replace", "insert", "delete")):
        case "replace":
            tokens[place] = token
        case "insert":
            tokens.insert(place + 1, token)
        case "delete":
            del tokens[place]
    return " ".join(tokens)


def responses_for(prompt: RubricPrompt, world: Dials, language: Language, rng: random.Random) -> dict[str, str]:
    """How each was made -> the response."""
    positive = construct(prompt.criteria, world, language, rng)
    k = rng.randrange(len(prompt.criteria))
    found = {
        "positive": positive,
        "omission": construct([c for j, c in enumerate(prompt.criteria) if j != k], world, language, rng),
        "base": partly_honoured(prompt, world, language, rng),
    }
    modified = minimal_modification(prompt, positive, rng.randrange(len(prompt.criteria)), rng)
    return found | ({"modification": modified} if modified else {})


def micro_examples(
    worlds: Sequence[Dials], n: int, seed: int | str, annotator: Annotator = taxonomy, prompts: str = "discriminator"
) -> list[LabelledExample]:
    """`n` examples from equally many prompts of each world; `split` says how the response was made."""
    language, rng = Language(), random.Random(f"{prompts} responses {seed}")
    pools = [iter(sample_prompts(world, n, f"{prompts} {seed}")) for world in worlds]
    examples: list[LabelledExample] = []
    while len(examples) < n:
        for world, pool in zip(worlds, pools, strict=True):
            prompt = next(pool)
            for made, response in responses_for(prompt, world, language, rng).items():
                for criterion in prompt.criteria:
                    verdict = check(criterion, prompt.prompt, response)
                    label = annotator(criterion, verdict, response)
                    if label is not None:
                        examples.append(LabelledExample(criterion, response, label, verdict.value, made))
    return examples[:n]
