"""The credit lab: its numbers are the library's, in a real browser, where it works without network, mouse or width."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from browser import browser, load, said_in_frame
from site_check import check_site
from test_report_rtt_grpo import group_of

from rtt_lib.credit import combine, response_advantage, token_advantage
from rtt_lib.files import write_json
from rtt_lib.relevance.sources import Oracle
from rtt_lib.report import credit_lab
from rtt_lib.report.site import build_site
from rtt_lib.verify.verdict import aon, csr

SCHEMES = ("intra", "inter", "relative", "released")
in_a_browser = pytest.mark.skipif(browser() is None, reason="no Chromium on PATH: the lab was NOT tried here")


def seen(tmp_path: Path, script: str, width: int = 1300, **values) -> dict:
    """What a script beside the module leaves in `out`, in a frame of that width; an error in the console fails."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    module = credit_lab.MODULE.read_text(encoding="utf-8")
    page = tmp_path / "page.html"
    page.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<div id="lab"></div><script type="module">'
        f"{module}\n{given}const out = {{}};\n{script}\nparent.postMessage(JSON.stringify(out), '*');</script>"
    )
    return json.loads(said_in_frame(page, tmp_path / "chromium", width))


def random_case(seed: int) -> dict:
    """A group with unequal lengths, unknown verdicts, constant and rounded relevance, and ineligible tokens."""
    g = torch.Generator().manual_seed(seed)
    size, criteria, longest = (
        int(torch.randint(low, high, (1,), generator=g)) for low, high in ((1, 7), (1, 5), (1, 9))
    )
    lengths = torch.randint(1, longest + 1, (size,), generator=g)
    verdicts = torch.randint(0, 2, (size, criteria), generator=g).double()
    scheme = SCHEMES[seed % len(SCHEMES)]
    if scheme != "released":
        verdicts[torch.rand(size, criteria, generator=g) < 0.15] = torch.nan
    p = torch.rand(size, criteria, longest, generator=g, dtype=torch.float64)
    if seed % 3 == 0:
        p = (p >= 0.5).double()
    if seed % 5 == 0:
        p[:, 0] = 1.0
    return {
        "verdicts": verdicts,
        "p": p,
        "mask": torch.arange(longest) < lengths.unsqueeze(1),
        "eligible": torch.rand(size, longest, generator=g) < 0.8 if seed % 2 else None,
        "scheme": scheme,
        "reward": "aon" if seed % 7 else "csr",
    }


def as_json(case: dict) -> dict:
    words = {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in case.items()}
    return words | {"verdicts": [[None if v != v else v for v in row] for row in words["verdicts"]]}


@in_a_browser
def test_its_numbers_are_the_librarys_on_200_random_groups(tmp_path):
    cases = [random_case(seed) for seed in range(200)]
    script = """
    out.cases = cases.map((c) => {
      const rewards = c.verdicts.map((row) => reward(row, c.reward)), aRes = responseAdvantage(rewards);
      const { aTok, perCriterion } = tokenAdvantage(c.verdicts, c.p, c.mask, c.scheme, c.eligible);
      return { aRes, aTok, perCriterion, advantage: combine(aRes, aTok, 0.5) };
    });"""
    found = seen(tmp_path, script, cases=[as_json(case) for case in cases])["cases"]
    spoken = 0
    for case, page in zip(cases, found, strict=True):
        verdicts, size = case["verdicts"], len(case["verdicts"])
        score = {"aon": aon, "csr": csr}[case["reward"]]
        known = [[None if v != v else bool(v) for v in row] for row in verdicts.tolist()]
        a_res = response_advantage(torch.tensor([score(row) for row in known], dtype=torch.float64), size)
        a_tok = token_advantage(verdicts, case["p"], case["mask"], size, case["scheme"], case["eligible"])
        expected = combine(a_res, a_tok, beta=0.5)
        for name, value in (("aRes", a_res), ("aTok", a_tok), ("advantage", expected)):
            torch.testing.assert_close(torch.tensor(page[name], dtype=torch.float64), value, rtol=0, atol=1e-6)
        spoken += bool(a_tok.abs().max() > 0)
    assert spoken > 120  # most cases say something


@in_a_browser
def test_a_wrong_number_would_be_seen(tmp_path):
    """One criterion, two tokens, by hand: +1 and -1, and not +-sqrt(2) as with the sample's deviation."""
    found = seen(tmp_path, "out.a = tokenAdvantage([[1]], [[[1, 0]]], [[true, true]], 'intra').aTok;")
    assert found["a"] == [[pytest.approx(1), pytest.approx(-1)]]


def data() -> dict:
    """Three groups of one hand-made set of responses, and all presets."""
    group = group_of(Oracle())
    case = credit_lab.Case("start bako ; no commas :", group.rollouts, group.verdicts, group.relevance)
    presets = [credit_lab._preset(preset, 0, case) for preset in credit_lab.PRESETS]
    return {"groups": [credit_lab._group(f"group {n}", case) for n in range(3)], "presets": presets}


ON_THE_PAGE = """
mount(document.getElementById("lab"), data);
const all = (selector) => [...document.querySelectorAll(".rtt-lab " + selector)];
const row = (i) => all(".response")[i];
const numbers = (i) => [...row(i).querySelectorAll(".tokens small")].map((x) => Number(x.textContent));
const named = (text) => all("button").find((b) => b.textContent === text);
const slider = (label, value) => {
  const found = all("input[type=range]").find((x) => x.getAttribute("aria-label").startsWith(label));
  found.value = value; found.dispatchEvent(new Event("input"));
};
"""


@in_a_browser
def test_verdicts_relevance_and_settings_can_be_changed(tmp_path):
    script = (
        ON_THE_PAGE
        + """
    out.presets = all("[aria-label=Presets] button").length;
    out.before = numbers(0);
    row(0).querySelector(".verdicts button").click();                    // satisfied -> violated
    out.after = numbers(0);
    out.focus = document.activeElement.getAttribute("aria-label");
    row(0).querySelectorAll(".tokens button")[1].click();                // paint
    out.marked = [...row(0).querySelectorAll(".tokens button")].map((b) => b.className);
    slider("beta", 0);
    out.silent = numbers(0);
    slider("words added", 7);
    out.longer = row(0).querySelectorAll(".tokens button").length;
    named("Length drift").click();
    out.again = row(0).querySelectorAll(".tokens button").length;
    row(0).querySelectorAll(".tokens button")[0].focus();
    out.detail = document.querySelector(".rtt-lab .detail").textContent;
    named("Mixed rows of the released code").click();
    row(1).querySelector(".verdicts button").click();                    // violated -> unknown
    out.problem = document.querySelector(".rtt-lab .problem").textContent;
    """
    )
    found = seen(tmp_path, script, data=data())
    assert found["presets"] == 5 and found["before"] != found["after"]
    assert found["focus"] == "response 1, start bako: violated"
    assert found["marked"] == ["marked", "marked", ""]
    rewards = torch.tensor([0.0, 0.0, 0.0])  # AON: response 1 fails now, too
    assert found["silent"] == response_advantage(rewards, 3).tolist()
    assert (found["longer"], found["again"]) == (10, 3)
    assert found["detail"].startswith('"bako" in response 1: A ') and "start bako: p 1.00, A_k " in found["detail"]
    assert "no notion of an unknown verdict" in found["problem"]


@in_a_browser
def test_a_response_with_added_words_says_that_it_cannot_be_painted(tmp_path):
    script = (
        ON_THE_PAGE
        + """
    const said = document.querySelector(".rtt-lab .locked");
    const look = (i) => {
      const token = () => row(i).querySelector(".tokens button"), before = token().className;
      const looks = [said.textContent, token().getAttribute("aria-disabled"), getComputedStyle(token()).cursor];
      token().click();
      const painted = token().className !== before;
      if (painted) token().click();
      return [...looks, painted];
    };
    out.live = said.getAttribute("aria-live");
    row(1).querySelector(".head button").click();                        // response 2 is the one that gets words
    out.none = look(1);
    slider("words added", 1);
    out.some = look(1);
    out.other = look(0);
    out.kept = document.querySelector(".rtt-lab .locked") === said;      // the same place, or no screen reader says it
    slider("words added", 0);
    out.again = look(1);
    """
    )
    found = seen(tmp_path, script, data=data())
    text = 'Response 2 has added words. To paint its relevance, set "words added" to 0.'
    assert found["live"] == "polite" and found["kept"]
    assert found["none"] == found["again"] == ["", None, "pointer", True]
    assert found["some"] == [text, "true", "not-allowed", False]
    assert found["other"] == [text, None, "pointer", True]


@in_a_browser
@pytest.mark.parametrize("width", [1300, 390])
def test_it_fits_the_width_and_its_labels_can_be_read(tmp_path, width):
    script = (
        ON_THE_PAGE
        + """
    out.width = innerWidth;
    out.reach = document.documentElement.scrollWidth;
    const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const luminance = (rgb) => rgb.map((c) => linear(c / 255))
      .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
    out.contrast = Math.min(...all(".tokens button").map((b) => {
      const style = getComputedStyle(b), [r, g, bl, a = 1] = style.backgroundColor.match(/[\\d.]+/g).map(Number);
      const behind = luminance([r, g, bl].map((c) => c * a + 255 * (1 - a)));
      return (behind + 0.05) / (luminance(style.color.match(/[\\d.]+/g).map(Number)) + 0.05);
    }));
    out.unnamed = all("button, select, input").filter((x) =>
      !(x.getAttribute("aria-label") || x.textContent || x.closest("label")?.textContent)).length;
    """
    )
    found = seen(tmp_path, script, width, data=data())
    assert found["width"] == width and found["reach"] <= width
    assert found["unnamed"] == 0
    assert found["contrast"] >= 4.5


# --- on the site ---


def results_with_lab(tmp_path: Path, text: str = "bako") -> Path:
    shown = data()
    shown["groups"][0]["responses"][0]["tokens"][0] = text
    credit_lab.save_lab(shown, tmp_path)
    write_json(tmp_path / "manifest.json", {"profile": "tiny"})
    build_site(tmp_path)
    return tmp_path / "index.html"


def test_the_page_names_the_hash_of_its_one_script(tmp_path):
    page = results_with_lab(tmp_path).read_text(encoding="utf-8")
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'; style-src" in page and check_site(tmp_path) == []
    others = [path.read_text() for path in (tmp_path / "site").glob("*.html")]
    assert others and all("script-src 'none'" in text and "<script" not in text for text in others)


def test_without_responses_the_first_page_has_no_script(tmp_path):
    write_json(tmp_path / "manifest.json", {"profile": "tiny"})
    page = build_site(tmp_path).read_text()
    assert "<script" not in page and "script-src 'none'" in page


@in_a_browser
def test_the_lab_runs_on_the_first_page_and_a_hostile_response_stays_text(tmp_path):
    hostile = "</script><script>document.title='broken'</script><!--"
    document, log = load(results_with_lab(tmp_path, hostile), tmp_path / "chromium")
    assert "CONSOLE" not in log, log
    assert 'class="rtt-lab"' in document and "<title>broken" not in document
    assert html.escape(hostile, quote=False) in document


# --- which groups ---


def test_presets_choose_the_group_that_shows_them():
    group = group_of(Oracle())
    case = credit_lab.Case("", group.rollouts, group.verdicts, group.relevance)
    assert credit_lab.silent_reward(case) == -1  # response 1 satisfies everything
    assert credit_lab.blind_to_global(case) == -1  # no criterion is about the whole
    assert credit_lab.noise_scaled_up(case) == 0  # exact relevance is 0 or 1
    ends = [group.a_tok[i, n - 1].item() for i, n in enumerate(group.rollouts.mask.sum(1))]
    assert credit_lab.end_pushed_down(case) == pytest.approx(-sum(ends) / 3)
    assert credit_lab.rows_mixed(case) > 0.1


def test_noise_is_what_rounding_takes_away():
    group = group_of(Oracle())
    p = torch.where(group.relevance > 0.5, 0.43, 0.41)
    case = credit_lab.Case("", group.rollouts, group.verdicts, p)
    assert credit_lab.noise_scaled_up(case) > 0.3
    assert case.credit().abs().max() == 0 < case.credit(rounded=False).abs().max()


def test_the_widget_carries_the_module_and_its_data():
    shown = credit_lab.widget(data())
    assert shown.data["presets"][0]["name"] == credit_lab.PRESETS[0].name
    assert "export default { render" in str(shown._esm)


def test_data_comes_from_the_runs_policies(monkeypatch, tmp_path):
    """The groups of a profile. Without trained policies: those published, else the base policy's alone."""
    group = group_of(Oracle())
    start = SimpleNamespace(
        base="base", rl=None, verifier=None, question=SimpleNamespace(prompt="q"),
        unrounded=Oracle(), roll_out=lambda policy: group.rollouts,
    )  # fmt: skip
    home = SimpleNamespace(questions=lambda n: [SimpleNamespace(prompt="p")] * n)
    spec = SimpleNamespace(home=home, arm=SimpleNamespace(name="RTT-CSR"), profile=SimpleNamespace(name="toy"))
    monkeypatch.setattr(credit_lab, "first_of", lambda specs, arm: spec)
    monkeypatch.setattr(credit_lab, "walkthrough", lambda spec: start)
    monkeypatch.setattr(credit_lab, "load_policy", lambda name: (None, None))
    monkeypatch.setattr(credit_lab, "roll_out", lambda *given: group.rollouts)
    monkeypatch.setattr(credit_lab, "policies_here", lambda specs, arms: {"base": "b", **dict.fromkeys(arms, "c")})
    found = credit_lab.lab_data([spec])
    assert [one["name"] for one in found["groups"]] == ["base policy, prompt 1", "RTT-CSR after training"]
    assert found["groups"][0]["responses"][0] == {
        "tokens": ["bako", "desu", "<end>"],
        "text": [True, True, False],
        "verdicts": [1, 1],
        "p": [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    }
    assert [preset["group"] for preset in found["presets"]] == [0] * 5

    monkeypatch.setattr(credit_lab, "policies_here", lambda specs, arms: {"base": "b"})
    monkeypatch.setattr(credit_lab, "RESULTS", tmp_path)
    assert len(credit_lab.lab_data([spec])["groups"]) == 1
    credit_lab.save_lab(found, tmp_path / "toy")
    assert credit_lab.lab_data([spec]) == found
