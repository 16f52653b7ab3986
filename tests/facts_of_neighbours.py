"""The sentences of docs/results.md that hold numbers on Conifer and on SERL, made from the tables."""

from __future__ import annotations

from committed import in_points, table


def of_conifer(name: str, measure: str) -> str:
    found = table("conifer_secondary", "conifer").set_index(["world", "contrast"]).loc[("nested", name)]
    assert (found["measure"], found["n"]) == (measure, 4)
    return f"{found['points']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]"


def conifers_claims() -> list[str]:
    found = table("conifer_claims", "conifer").set_index("claim")
    assert set(found["n"]) == {8} and len(table("conifer_secondary", "conifer")) == 29
    verdicts = found["verdict"].to_dict()
    assert {claim for claim, verdict in verdicts.items() if verdict == "supported"} == {"K-C1", "K-C3", "K-C7"}
    assert {claim for claim, verdict in verdicts.items() if verdict == "contradicted"} == {"K-C5"}
    negligible = {claim for claim, verdict in verdicts.items() if verdict == "negligible"}
    assert negligible == {"K-C4", "K-C6", "K-R1", "K-R2"}
    said = {claim: in_points(one) for claim, one in found.iterrows()}
    early, late = (f"Conifer separate {first} first - Conifer separate" for first in ("easy", "hard"))
    return [
        f"SFT on five levels ends {said['K-C1']} above SFT on level 1. After DPO the lead is still {said['K-C3']}",
        f"is undecided: {said['K-C2']}",
        f"Easy to hard minus the mean of shuffled and reversed is {said['K-C4']}, within",
        f"fewer criteria on counts and lengths: {said['K-C5']}.",
        f"(K-C6): {said['K-C6']} at levels 4 and 5.",
        f"(K-C7): {said['K-C7']} in criteria on counts and lengths.",
        f"easy to hard minus mixed levels is {said['K-R1']} (K-R1)",
        f"minus mixed levels {said['K-R2']} (K-R2)",
        f"RTT-CSR minus RL-CSR is {said['K-R3']} there (K-R3)",
        f"easy ones first ends {of_conifer(early, 'all satisfied')} above mixed ones, and hard ones first "
        f"{of_conifer(late, 'all satisfied')} (",
    ]
