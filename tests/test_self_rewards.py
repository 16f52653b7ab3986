"""SERL's rewards against values worked by hand and against the slow, obvious sums."""

from __future__ import annotations

import itertools
import random
from statistics import mean, stdev

import pytest
import torch

from rtt_lib.errors import RTTError
from rtt_lib.self_rewards import (
    actor_rewards,
    group_advantages,
    judge_rewards,
    length_weight,
    majority,
    pairs,
    role_weights,
    scores_without_the_pair,
    swapped,
    verdicts,
    wins,
)

# Three responses, two judgments a pair: 0 beats 1 twice, 0 and 2 are split, 2 beats 1 once and once nothing is read.
VERDICT = torch.tensor([[1, 1], [1, -1], [-1, 0]])
EQUAL = torch.tensor([10, 10, 10])


def rewards(verdict: torch.Tensor, lengths: torch.Tensor, margin: float | None = 0.2) -> torch.Tensor:
    return actor_rewards(wins(verdict, lengths.shape[-1]), length_weight(lengths, margin))


def test_pairs_come_in_order():
    assert pairs(4).tolist() == [list(pair) for pair in itertools.combinations(range(4), 2)]


def test_half_of_a_pairs_judgments_show_its_second_response_first():
    assert swapped(4).tolist() == [False, False, True, True]
    assert swapped(4, swap=False).tolist() == [False] * 4
    said = torch.tensor([[1, 2, 1, 2], [0, 1, 2, 0]])
    assert verdicts(said).tolist() == [[1, -1, -1, 1], [0, 1, 1, 0]]
    assert verdicts(said, swap=False).tolist() == [[1, -1, 1, -1], [0, 1, -1, 0]]


def test_the_actors_reward_is_the_share_of_judgments_won():
    # 0 won 3 of its 4 judgments, 1 none, 2 two; the unreadable one stays in the divisor.
    assert rewards(VERDICT, EQUAL).tolist() == [0.75, 0.0, 0.5]


def test_a_shorter_winner_earns_more_and_a_filtered_pair_stays_in_the_divisor():
    # |0| = 10, |1| = 11, |2| = 20: 0 and 1 are near each other, 2 is near neither.
    found = rewards(VERDICT, torch.tensor([10, 11, 20]))
    assert found.tolist() == pytest.approx([2 * 1.1 / 4, 0, 0])
    # The longer of the two wins: 10/11 a judgment.
    assert rewards(-VERDICT, torch.tensor([10, 11, 20])).tolist() == pytest.approx([0, 2 * (10 / 11) / 4, 0])


def test_the_length_filter_is_open_and_measured_by_the_other_response():
    weight = length_weight(torch.tensor([10, 12]), 0.2)
    # 12 < 1.2 * 10 is false, so 1 earns nothing from 0; 0.8 * 12 = 9.6 < 10 < 14.4, so 0 earns 1.2 from 1.
    assert weight[1, 0] == 0 and weight[0, 1] == pytest.approx(1.2)
    assert length_weight(torch.tensor([10, 50]), None).tolist() == [[1, 1], [1, 1]]


def test_an_empty_response_wins_nothing():
    lengths = torch.tensor([0, 0, 5])
    assert (length_weight(lengths, 0.2) * (1 - torch.eye(3))).tolist() == [[0, 0, 0]] * 3
    assert rewards(torch.ones(3, 2), lengths).tolist() == [0, 0, 0]


def test_copeland_gives_the_pair_to_the_majority():
    found = actor_rewards(majority(wins(VERDICT, 3)), length_weight(EQUAL, None))
    # 0 beats 1, ties with 2; 2 beats 1 by its one readable judgment.
    assert found.tolist() == [0.75, 0.0, 0.75]
    nothing = actor_rewards(majority(wins(torch.zeros(3, 2), 3)), length_weight(EQUAL, None))
    assert nothing.tolist() == [0, 0, 0], "nothing readable is no tie"


def test_the_judge_is_rewarded_for_agreeing_with_the_scores():
    found = judge_rewards(VERDICT, rewards(VERDICT, EQUAL))
    # Scores .75, 0, .5: 0 over 1, 0 over 2, 2 over 1; the unreadable verdict costs 1.
    assert found.tolist() == [[1, 1], [1, -1], [1, -1]]
    assert judge_rewards(-VERDICT, rewards(VERDICT, EQUAL)).tolist() == [[-1, -1], [-1, 1], [-1, -1]]


def test_equal_scores_reward_no_verdict_also_where_they_differ_by_rounding():
    scores = torch.tensor([0.1 + 0.2, 0.3, 0.3 + 1e-8])
    assert judge_rewards(VERDICT, scores).tolist() == [[0, 0], [0, 0], [0, -1]]


def test_unreadable_verdicts_cost_one_and_teach_nothing():
    nothing = torch.zeros(3, 4)
    scores = rewards(nothing, EQUAL)
    assert scores.tolist() == [0, 0, 0]
    assert (judge_rewards(nothing, scores) == -1).all()
    assert (group_advantages(judge_rewards(nothing, scores)) == 0).all() and (group_advantages(scores) == 0).all()


def test_scores_can_leave_the_judged_pair_out():
    won = wins(VERDICT, 3)
    scores = scores_without_the_pair(won, length_weight(EQUAL, 0.2))
    # Without the pair (0, 1): 0 has its one win over 2, 1 has nothing. Without (0, 2): 0 two wins, 2 one.
    assert scores[0, 1] == 0.25 and scores[1, 0] == 0 and scores[0, 2] == 0.5 and scores[2, 0] == 0.25
    # Without (1, 2): 1 has nothing, 2 its win over 0.
    assert judge_rewards(VERDICT, scores).tolist() == [[1, 1], [1, -1], [1, -1]]
    of_two = torch.tensor([[1, 1]])
    alone = scores_without_the_pair(wins(of_two, 2), length_weight(torch.tensor([9, 9]), None))
    assert judge_rewards(of_two, alone).tolist() == [[0, 0]], "of two responses nothing is left"


def test_groups_are_standardised_by_the_samples_deviation():
    values = [0.75, 0.0, 0.5]
    expected = [(value - mean(values)) / (stdev(values) + 1e-4) for value in values]
    assert group_advantages(torch.tensor(values)).tolist() == pytest.approx(expected)
    unanimous = group_advantages(torch.tensor([1.0, 1.0, 1.0, 1.0]))
    assert unanimous.tolist() == [0, 0, 0, 0], "unanimous judgments teach nothing"


@pytest.mark.parametrize(
    ("progress", "actor", "judge"), [(0, 0, 1), (0.2, 0.2, 0.8), (0.5, 0.5, 0.5), (0.9, 0.5, 0.5), (1, 0.5, 0.5)]
)
def test_the_released_schedule_begins_with_the_judge(progress, actor, judge):
    assert role_weights(progress, "released") == pytest.approx((actor, judge))
    assert role_weights(progress, "summed") == (1, 1)


@pytest.mark.parametrize("k", [0, 1, 3])
def test_half_of_an_odd_number_of_judgments_is_refused(k):
    with pytest.raises(RTTError, match="K is even"):
        swapped(k)


def test_a_single_response_is_refused():
    with pytest.raises(RTTError, match="at least 2"):
        pairs(1)


@pytest.mark.parametrize("seed", range(4))
def test_many_groups_at_once_are_what_the_sums_say(seed):
    rng = random.Random(seed)
    groups, n, k = 3, 4, 4
    verdict = torch.tensor([[[rng.choice((-1, 0, 1)) for _ in range(k)] for _ in range(6)] for _ in range(groups)])
    lengths = torch.tensor([[rng.randint(0, 12) for _ in range(n)] for _ in range(groups)])
    found = rewards(verdict, lengths)
    agreement = judge_rewards(verdict, found)
    for g in range(groups):
        score = [0.0] * n
        for p, pair in enumerate(itertools.combinations(range(n), 2)):
            for i, j, sign in ((*pair, 1), (*reversed(pair), -1)):
                own, other = lengths[g, i].item(), lengths[g, j].item()
                counts = 0.8 * other < own < 1.2 * other
                score[i] += sum(other / own for value in verdict[g, p] if value == sign and counts)
        score = [value / ((n - 1) * k) for value in score]
        assert found[g].tolist() == pytest.approx(score)
        for p, (i, j) in enumerate(itertools.combinations(range(n), 2)):
            difference = round(score[i] - score[j], 5)
            sign = (difference > 0) - (difference < 0)
            expected = [-1 if value == 0 else value * sign for value in verdict[g, p].tolist()]
            assert agreement[g, p].tolist() == expected
