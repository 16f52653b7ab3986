"""The discriminator of the worlds of levels reads every token that a policy of theirs can write."""

from __future__ import annotations

import pytest
import torch
from levels_toy import short_profile

from rtt_lib.errors import RTTError
from rtt_lib.relevance.base import Rollouts
from rtt_lib.relevance.discriminator import Discriminator
from rtt_lib.relevance.sources import DiscriminatorSource
from rtt_lib.schema import Criterion
from rtt_lib.verify import check
from rtt_lib.worlds.levels.discriminators import fingerprint, folder_of, trained

START = Criterion("start bako", "micro:start", {"word": "bako"})


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread", "empty_store")
def test_it_is_trained_once_and_reads_accounts_and_turn_marks():
    profile = short_profile()
    folder = trained(profile, "taxonomy", 1)
    assert folder == folder_of(profile, 1) == trained(profile, "taxonomy", 1)
    response = "bako <ask> = words 0"
    offsets = [(0, 4), (5, 10), (11, 12), (13, 18), (19, 20), (20, 20)]
    verdict = check(START, "", response)
    rollouts = Rollouts(
        ["<ask> start bako :"],
        [response],
        [[START]],
        [[verdict]],
        torch.arange(6)[None],
        torch.ones(1, 6).bool(),
        [offsets],
    )
    relevance = DiscriminatorSource(Discriminator.load(folder))(rollouts)
    assert relevance.shape == (1, 1, 6) and ((relevance == 0) | (relevance == 1)).all()


def test_its_fingerprint_follows_settings_and_base_policy():
    found = {
        fingerprint(short_profile(), 0),
        fingerprint(short_profile(), 1),
        fingerprint(short_profile(discriminator__samples="65"), 0),
        fingerprint(short_profile(policy__pretrain_steps="3"), 0),
    }
    assert len(found) == 4 and fingerprint(short_profile(), 0) in found


def test_there_is_one_kind():
    with pytest.raises(RTTError, match="no discriminator of greedy labels"):
        trained(short_profile(), "greedy", 0)
