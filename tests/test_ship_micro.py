"""The command that makes the models of the package."""

from __future__ import annotations

from test_micro_shipped import TINY

from rtt_lib import store
from rtt_lib.run import ship_micro
from rtt_lib.worlds.micro import shipped


def test_it_makes_them_and_says_how_large_they_are(empty_store, monkeypatch, capsys, one_thread):
    two = shipped.models(TINY)[:2]
    monkeypatch.setattr(ship_micro, "models", lambda profile: two)
    assert ship_micro.main() == 0
    said = capsys.readouterr().out
    assert said.startswith("all 2 micro models that the package brings are used; ")
    megabytes = float(said.split("; ")[1].split(" MB in ")[0])
    assert 0.5 < megabytes < 5 and str(store.SHIPPED) in said
    assert {model.folder for model in two} == set(store.SHIPPED.glob("*/*"))
    assert all(store.made(model.folder)["command"] == ship_micro.COMMAND for model in two)
