"""README.md says what `results/` holds, its claims are those that the command makes, and it names every folder."""

from __future__ import annotations

import re

import pytest
from committed import A_NUMBER, OPEN, RESULTS, core, fresh_difference, in_points, over_prompts, table, wrongly_marked
from facts_of_tuning import the_first_question

from rtt_lib.errors import RTTError
from rtt_lib.profile import REPOSITORY
from rtt_lib.report import readme

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_what_came_out_in_seven_lines():
    quarters = table("core_quarters").query("measure == 'first quarter'").set_index(["world", "arm"])
    led = {place: f"{100 * value:.1f}" for place, value in quarters["difference"].items()}
    aon = {world: in_points(core(world, "RTT-AON")) for world in "LMSU"}
    others = {world: fresh_difference(world, "RTT-AON") for world in "LU"}
    new = {world: in_points(found) for world, found in others.items()}
    assert OPEN not in {found["verdict"] for found in others.values()}
    early = [led[world, "RTT-AON"] for world in "LMSU"]
    tuned = the_first_question().loc["U"]
    conifer = {claim: in_points(one) for claim, one in table("conifer_claims", "conifer").set_index("claim").iterrows()}
    sentences = [
        f"it leads RL with AON by {', '.join(early[:3])} and {early[3]} points in L, M, S and U",
        f"RTT-AON minus RL-AON is {aon['M']} in M, where",
        f"are cut, {aon['L']} in L, {aon['S']} in S and {aon['U']} in U. Ten fresh runs do show one: "
        f"{new['L']} in L and {new['U']} in U.",
        f"In U it wrongly marks {wrongly_marked('base')[0]:.1f} tokens of a response as the last word before training "
        f"and {wrongly_marked('RTT-AON')[0]:.1f} after it.",
        f"The best RTT minus the best RL is {in_points(tuned.loc[80])} in U after 80 steps, "
        f"{in_points(tuned.loc[240])} after 240 (corrected",
        f"RTT-CSR minus RL-CSR is {over_prompts('RTT-CSR', 'RL-CSR', 'A0')} and "
        f"{over_prompts('RTT-CSR', 'RL-CSR', 'A1')} in two seeds, over prompts. In one run exact "
        f"relevance in the discriminator's place raises RTT-CSR by {over_prompts('RTT-CSR oracle', 'RTT-CSR', 'A1')}.",
        f"SFT on prompts of one to five criteria ends {conifer['K-C1']} above SFT on prompts of one.",
        f"Turns from easy to hard end {conifer['K-C4']} above turns in other orders.",
        f"by {in_points(table('serl_claims', 'serl').iloc[0])} criteria in a hundred in world J65.",
    ]
    text = " ".join(section("What came out").partition(readme.BEGIN)[0].split())
    assert text.count("- **") == 7
    assert [sentence for sentence in sentences if sentence not in text] == []
    for sentence in sentences:
        text = text.replace(sentence, "")
    assert A_NUMBER.findall(text.replace("95% intervals", "")) == []


def in_readme(text: str, table: str) -> str:
    return readme.between(text, readme.BEGIN, readme.END, table, "README.md")


def test_the_table_of_claims_is_what_the_command_makes():
    made = readme.verdicts_table(RESULTS)
    assert in_readme(README, made) == README, "run python -m rtt_lib.report.readme"
    rows = [line.strip("| ").split(" | ") for line in made.split("\n\n")[0].splitlines()[2:]]
    assert [cells[0] for cells in rows] == [f"C{n}" for n in range(1, 12)]
    assert [cells[2] for cells in rows] == table("claims")["verdict"].tolist()


def test_verdicts_of_two_profiles_stand_side_by_side(tmp_path):
    for profile, verdicts in (("small", "partly"), ("large", "replicates")):
        (tmp_path / profile / "tables").mkdir(parents=True)
        rows = f'claim,statement,verdict,paper\nC1,"a, b|c",{verdicts},5\n'
        (tmp_path / profile / "tables" / "claims.csv").write_text(rows)
    made = readme.verdicts_table(tmp_path, ("small", "not yet run", "large"))
    assert made.splitlines() == [
        "| claim | statement | `small` | `large` |",
        "| --- | --- | --- | --- |",
        "| C1 | a, b\\|c | partly | replicates |",
    ]
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    assert in_readme(text, made) == f"before\n{readme.BEGIN}\n{made}{readme.END}\nafter\n"


def test_claims_of_other_papers_have_tables_of_their_own(tmp_path):
    """A profile's own claims come before RTT's, which a whole run of it leaves too."""
    for profile, name, claim in (
        ("micro", "claims", "C1"),
        ("micro", "serl_claims", "S-C1"),  # of notebook 12, which runs nothing there
        ("serl", "serl_claims", "S-C1"),
        ("serl", "claims", "C1"),
        ("conifer", "conifer_claims", "K-C1"),
    ):
        (tmp_path / profile / "tables").mkdir(parents=True, exist_ok=True)
        rows = f"claim,statement,verdict,low\n{claim},s,undecided,0.1\n"
        (tmp_path / profile / "tables" / f"{name}.csv").write_text(rows)
    tables = [text.splitlines() for text in readme.verdicts_table(tmp_path).split("\n\n")]
    assert [lines[0] for lines in tables] == [
        f"| claim | statement | `{profile}` |" for profile in ("micro", "serl", "conifer")
    ]
    assert [lines[2:] for lines in tables] == [[f"| {n} | s | undecided |"] for n in ("C1", "S-C1", "K-C1")]


def test_a_readme_without_the_marks_and_other_claims_are_errors(tmp_path):
    with pytest.raises(RTTError, match="belongs between the lines"):
        in_readme(f"before\n{readme.END}\n{readme.BEGIN}\n", "table\n")
    for profile, rows in (("small", "C1,s,partly\n"), ("large", "C1,s,partly\nC2,s,partly\n")):
        (tmp_path / profile / "tables").mkdir(parents=True)
        (tmp_path / profile / "tables" / "claims.csv").write_text(f"claim,statement,verdict\n{rows}")
    with pytest.raises(RTTError, match="judge different claims"):
        readme.verdicts_table(tmp_path, ("small", "large"))


def test_it_fits_150_lines():
    assert len(README.splitlines()) <= 150


LIBRARY = REPOSITORY / "rtt_lib"


def modules() -> set[str]:
    """`verify/judge` for every module of the library, `verify/` for every folder of modules."""
    found = [path for path in LIBRARY.rglob("*.py") if path.name != "__main__.py"]
    places = {path.relative_to(LIBRARY).with_suffix("").as_posix() for path in found if path.name != "__init__.py"}
    folders = {path.parent.relative_to(LIBRARY).as_posix() + "/" for path in found if path.name == "__init__.py"}
    return places | folders - {"./"}


def named_in_the_tree() -> set[str]:
    """A line `- **`verify/`** ...` and those below it name the modules of one folder in backticks."""
    found = set()
    for item in (REPOSITORY / "docs" / "tree.md").read_text(encoding="utf-8").split("\n- ")[1:]:
        folder, *names = re.findall(r"`([\w/]+)`", item)
        place = "" if folder == "rtt_lib/" else folder
        found |= {place} | {place + name for name in names}
    return found - {""}


def folders_of(text: str) -> list[str]:
    return re.findall(r"^- \*\*`(\w+/)`", text, re.MULTILINE)


def test_the_readme_names_every_folder_in_the_order_of_the_tree():
    folders = folders_of(section("The tree"))
    assert [*folders, "rtt_lib/"] == folders_of((REPOSITORY / "docs" / "tree.md").read_text(encoding="utf-8"))
    assert set(folders) == {name for name in modules() if re.fullmatch(r"\w+/", name)}


def test_the_tree_names_every_module():
    assert modules() - named_in_the_tree() == set()


def test_the_tree_names_nothing_else():
    assert named_in_the_tree() - modules() == set()
