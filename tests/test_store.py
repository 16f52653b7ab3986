"""The store: a thing is made once, by one process at a time, and is complete or made again."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from rtt_lib import store


def test_what_is_complete_is_not_made_again(empty_store):
    made = []

    def work(folder):
        made.append(1)
        (folder / "weights").write_text("w")

    folder = store.folder_of("bases", "abc")
    assert store.made(folder) is None
    for _ in range(2):
        assert store.make(folder, work, {"name": "a base"}) == folder
    assert made == [1] and store.made(folder)["name"] == "a base" and store.made(folder)["seconds"] >= 0
    assert list(store.entries()) == [("bases", folder)]
    (folder / store.MADE).write_text("{half")
    store.make(folder, work, {})
    assert made == [1, 1], "a damaged note is no note"
    for _ in range(2):  # the second time there is nothing to remove
        store.remove(folder)
    assert list(store.entries()) == []


def test_an_interrupted_work_finds_what_it_left(empty_store):
    folder = store.folder_of("runs", "abc")

    def work(folder):
        begun = (folder / "half").exists()
        (folder / "half").write_text("")
        if not begun:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.make(folder, work, {})
    assert store.made(folder) is None and (folder / "half").exists()
    store.make(folder, work, {})
    assert store.made(folder) is not None


def test_the_second_waits_for_the_first(empty_store):
    folder, made = store.folder_of("bases", "abc"), []

    def work(folder):
        made.append(1)
        time.sleep(0.2)

    threads = [threading.Thread(target=store.make, args=(folder, work, {})) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_what_is_being_filled_is_in_use_until_its_process_is_gone(empty_store):
    folder = store.folder_of("runs", "abc")
    assert not store.in_use(folder)
    code = "import sys, time; from pathlib import Path; from rtt_lib import store\n"
    code += "with store.locked(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert store.in_use(folder) and store.in_use(folder), "to look takes nothing"
        process.kill()
    assert not store.in_use(folder)
