"""What a discriminator on text is trained on, and what is held out of its training."""

from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.schema import Criterion
from rtt_lib.worlds.text import discriminators as text_training


def test_held_out_prompts_are_held_out_with_all_their_examples():
    example = LabelledExample(Criterion("Name a cat."), "A cat.", Label(((2, 5),)))
    rows = [(f"prompt {n % 500}", example) for n in range(1000)]
    training, unseen = text_training.split_off(rows)
    assert len(training) + len(unseen) == 1000 and 20 <= len(unseen) <= 100
    assert len(unseen) % 2 == 0  # a prompt's two examples stay together
    _, again = text_training.split_off([*rows[::-1], ("another", example)])
    assert len(again) - len(unseen) in (0, 1)  # the others stay where they were
