"""Nothing of a data set or a model is run, shown unescaped or obeyed; and what is secret stays where it was."""

from __future__ import annotations

import ast
import json
import re
import threading
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from hypothesis import strategies as st
from judge_server import Server, fails, says
from site_check import check_site
from sizes import fuzz
from test_pipeline import House, write_notebook

from rtt_lib.files import write_json, write_text
from rtt_lib.relevance.discriminator import TokenRelevance
from rtt_lib.report.shading import html_page, terminal_text
from rtt_lib.report.site import build_site
from rtt_lib.run import cli
from rtt_lib.run.pipeline import REPOSITORY

CHILD = "sandbox_child.py"  # runs in a cell of its own: see `rtt_lib/verify/sandbox.py`
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def sources() -> dict[str, ast.Module]:
    """Every module and every notebook's code of the repository, parsed."""
    found = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "rtt_lib").rglob("*.py")}
    for path in (REPOSITORY / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        found[path.name] = "\n".join(line for text in code for line in text.splitlines() if line[:1] not in ("%", "!"))
    return {name: ast.parse(text, name) for name, text in found.items()}


def unsafe(tree: ast.Module) -> list[str]:
    """What could run what it reads: each finding with its line."""
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in getattr(node, "names", [])] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"{node.lineno}: import {name}" for name in names if name.split(".")[0] in UNSAFE_MODULES]
        if isinstance(node, ast.Call):
            found += [f"{node.lineno}: {problem}" for problem in unsafe_call(node)]
    return found


def unsafe_call(call: ast.Call) -> list[str]:
    name = ast.unparse(call.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    problems = {
        "runs text": name in ("eval", "exec", "compile", "__import__"),
        "a shell": given.get("shell", "False") != "False" or name in ("os.system", "os.popen", "subprocess.getoutput"),
        "code of a hub": given.get("trust_remote_code", "False") != "False",
        "unpickles": name == "torch.load" and given.get("weights_only") != "True",
        "unpickles arrays": given.get("allow_pickle", "False") != "False",
        "YAML that makes objects": name in ("yaml.unsafe_load", "yaml.full_load")
        or (name == "yaml.load" and ast.unparse(call).rpartition(", ")[2] not in ("_Loader)", "Loader=_Loader)")),
    }
    return [problem for problem, there in problems.items() if there]


def test_nothing_that_is_read_is_run():
    found = {name: unsafe(tree) for name, tree in sources().items()}
    assert found.pop(CHILD)  # there it is, and only there
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "yaml.load(text, yaml.Loader)",
        "yaml.load(text)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "eval(text)",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_the_search_would_see_it(code):
    assert unsafe(ast.parse(code))
    assert not unsafe(ast.parse("torch.load(p, weights_only=True); yaml.load(text, _Loader); model.eval(); run([a])"))


def test_the_yaml_loader_makes_plain_values_only():
    import yaml

    from rtt_lib import yaml_tree

    assert issubclass(yaml_tree._Loader, yaml.SafeLoader)
    with pytest.raises(yaml.YAMLError):
        yaml.load("!!python/object/apply:os.getcwd []", yaml_tree._Loader)


def test_checkpoints_are_safetensors():
    names = [
        path.name for path in (REPOSITORY / "rtt_lib").rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".pth")
    ]
    assert names == []


# --- secrets ---

SECRETS = {"RTT_API_KEY": "sk-secret-4711", "HF_TOKEN": "hf_secret4712", "OPENAI_API_KEY": "sk-secret-4713"}
ASK = """\
import logging
logging.basicConfig(level="DEBUG", force=True)
from rtt_lib.endpoint import Endpoint, read_many
from rtt_lib.verify.judge import Judge
url = "{url}"
endpoint = Endpoint(url, "m", retries=0)
judge = Judge(endpoint, cache=Path(results_dir) / "judge")
verdicts = judge.check_many([("a", "p", "r"), ("b", "p", "r")])
print(endpoint, vars(judge), verdicts)
print(read_many(endpoint, ["hello"], str, cache=Path(results_dir) / "answers"))
write_text(tables / "verdicts.csv", "\\n".join(map(str, verdicts)))"""


@pytest.mark.slow
def test_a_key_is_sent_to_its_server_and_written_nowhere(tmp_path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    house = House(tmp_path, [])
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.script = [says("YES"), fails(401, b"bad key sk-secret-4711"), says("hello")]
        write_notebook(house.notebooks, "01_ask", ASK.replace("{url}", server.url), [])
        output, errors = house.command().communicate(timeout=600)
        sent = {headers["authorization"] for _, headers, _ in server.seen}
        server.shutdown()
    assert sent == {"Bearer sk-secret-4711"} and len(server.seen) == 3, errors
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"manifest.json", "index.html", "01_ask.ipynb", "verdicts.csv"} <= {path.name for path in written}
    assert b"[key]" in written[house.results / "tables" / "verdicts.csv"]
    for data in (*written.values(), output.encode(), errors.encode()):
        assert b"secret" not in data


# --- model text on pages and terminals ---

NASTY = (
    "<script>alert(1)</script><img src=x onerror=alert(2)><svg/onload=alert(3)><a href='javascript:alert(4)'>a</a>"
    '" onmouseover="alert(5)" &lt;b&gt; &#x3c;script&#x3e; <!-- --> ]]> \u202ereversed\u202c \u2066x \x1b[2J\x1b[31mred'
)


class Page(HTMLParser):
    """The tags, attributes and text that a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attributes]

    def handle_data(self, data: str) -> None:
        self.text += data

    def dangers(self) -> list[str]:
        found = sorted(self.tags & {"script", "iframe", "object", "embed", "svg", "base", "form", "foreignobject"})
        found += [name for name, _ in self.attributes if name.startswith("on")]
        return found + [value for _, value in self.attributes if re.match(r"\s*(javascript|vbscript|data:text)", value)]


def notebook_with(text: str, path: Path) -> None:
    new = nbformat.v4.new_output
    outputs = [
        new("stream", name="stdout", text=text),
        new("display_data", data={"text/plain": text}),
        new("display_data", data={"text/markdown": text}),
        new("display_data", data={"application/javascript": "alert(6)", "text/plain": text}),
        new("error", ename="ValueError", evalue=text, traceback=[text]),
    ]
    cells = [nbformat.v4.new_markdown_cell("# Text", id="a"), nbformat.v4.new_code_cell("1", id="b", outputs=outputs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_what_a_model_wrote_is_only_text_on_the_site(tmp_path):
    notebook_with(NASTY, tmp_path / "notebooks" / "01_text.ipynb")
    quoted = NASTY.replace('"', '""')
    columns = "claim,statement,verdict,paper,ours,n,reason,where"
    rows = [
        f'{claim},"{quoted}",partly,"{quoted}","{quoted}","{quoted}","{quoted}","{quoted}"' for claim in ("C1", "C2")
    ]
    write_text(tmp_path / "tables" / "claims.csv", "\n".join([columns, *rows]) + "\n")
    write_json(tmp_path / "manifest.json", {"profile": NASTY, "parameters": {"about": NASTY}})
    build_site(tmp_path)
    assert check_site(tmp_path) == []
    for path in (tmp_path / "index.html", *(tmp_path / "site").glob("*.html")):
        text = path.read_text(encoding="utf-8")
        assert Page(text).dangers() == [], path.name
        assert "script-src 'none'" in text.partition("</head>")[0]  # whatever an output of ours should let through
    assert NASTY in Page((tmp_path / "site" / "tables.html").read_text(encoding="utf-8")).text
    assert "&lt;b&gt; &#x3c;script" in Page((tmp_path / "site" / "01_text.html").read_text(encoding="utf-8")).text


def test_the_search_for_dangers_sees_them():
    assert len(Page(NASTY).dangers()) >= 5


CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b\x07\x9b\x00\x7f"


def tokens_of(text: str) -> list[TokenRelevance]:
    return [TokenRelevance(n, min(n + 4, len(text)), 0.3 + 0.1 * (n % 5)) for n in range(0, len(text), 4)]


def test_what_a_model_wrote_is_only_text_for_rtt_attribute():
    page = Page(html_page(NASTY, [(NASTY, tokens_of(NASTY))], NASTY))
    assert page.dangers() == [] and page.text.count(NASTY) == 3
    shown = terminal_text(NASTY, tokens_of(NASTY), color=False)
    assert not set(shown) & set(CONTROLS) and r"\x1b[2J" in shown and r"\u202e" in shown
    coloured = re.sub(r"\x1b\[[0-9;]*m", "", terminal_text(NASTY, tokens_of(NASTY), color=True))
    assert coloured == shown.replace("⟦", "").replace("⟧", "")


def test_an_error_that_quotes_a_model_cannot_command_the_terminal(capsys):
    cli.complain(f"cell 4 failed: {NASTY}")
    said = capsys.readouterr().err
    assert not set(said) & set(CONTROLS) and r"\x1b[2J" in said and "onerror=alert(2)" in said


@fuzz(st.text(max_size=40))
def test_any_text_stays_text(folder, text):
    page = Page(html_page(text, [(text, tokens_of(text))] * 2, text))
    assert page.dangers() == []
    assert not set(terminal_text(text, tokens_of(text), color=False)) & set(CONTROLS)
