"""Does self-judged token credit work? The comparisons that say so, fixed before any of these runs was made.

S-T1 is the answer. The others say what it is due to: S-T2 more questions to the judge, S-T3 where the credit goes,
S-T4 a better judge, S-T5 what is missing to credit by true verdicts. Verdicts and Holm's p-values as in
`rtt_lib.analysis.serl_claims`, over these five alone.
"""

from __future__ import annotations

from rtt_lib.analysis.serl_claims import SCORE, Claim

ARM, OURS = "SERL per criterion", "not in the paper"
COMPARISONS = (
    Claim(
        "S-T1",
        "Self-judged token credit beats SERL",
        OURS,
        ARM,
        "SERL",
        "J65",
        SCORE,
        1,
        "four times as many questions to the judge; exact relevance stands for a discriminator",
    ),
    Claim(
        "S-T2",
        "Not only because the judge is asked more often",
        OURS,
        ARM,
        "SERL 16 judgments",
        "J65",
        SCORE,
        1,
        "the questions are as many, and each is shorter",
    ),
    Claim(
        "S-T3",
        "Not only because criteria are judged one by one: tokens matter",
        OURS,
        ARM,
        "SERL per criterion even",
        "J65",
        SCORE,
        1,
        "relevance comes from rules that see which tokens decide",
    ),
    Claim(
        "S-T4",
        "Self-judged token credit beats SERL where the judge is good",
        OURS,
        ARM,
        "SERL",
        "J80",
        SCORE,
        1,
        "as S-T1",
    ),
    Claim(
        "S-T5",
        "It stays below the same credit by true verdicts",
        OURS,
        ARM,
        "RTT-CSR relative oracle",
        "J65",
        SCORE,
        -1,
        "the ceiling trains the actor alone, at full weight from the first step",
    ),
)
