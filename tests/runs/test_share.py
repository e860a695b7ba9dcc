"""bimt share: what is packed, that it opens to the same run, and that a foreign ZIP file can do no harm."""

from __future__ import annotations

import gc
import json
import stat
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from bimt_tf import load_run
from bimt_tf.cli.main import main
from bimt_tf.errors import InputError
from bimt_tf.runs import zip_files
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.share import push, share


@pytest.fixture(scope="module")
def eliminated(tiny_config, tmp_path_factory):
    path = tmp_path_factory.mktemp("shared") / "run"
    train_run(tiny_config("symbolic-b", steps=150, eliminate=True), path)
    return path


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_what_is_packed(whole_run, tmp_path):
    names = share(whole_run, tmp_path / "a.zip")
    found = entries(tmp_path / "a.zip")
    assert list(found) == names and names[0] == "README.md"
    assert {"config.yaml", "model.safetensors", "layout.json", "summary.json", "probes.json"} <= set(names)
    assert any(name.startswith("figures/") for name in names)
    assert not any(name.startswith(("checkpoints", ".lock")) or "pkl" in name for name in names)
    share(whole_run, tmp_path / "b.zip", checkpoints=True)
    assert any(name.startswith("checkpoints/") for name in entries(tmp_path / "b.zip"))
    share(whole_run, tmp_path / "c.zip")
    assert {n: c for n, c in entries(tmp_path / "c.zip").items() if n != "README.md"} == {
        n: c for n, c in found.items() if n != "README.md"
    }


def test_the_card(whole_run, tmp_path):
    share(whole_run, tmp_path / "a.zip", license="mit")
    card = entries(tmp_path / "a.zip")["README.md"].decode()
    _, front, text = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["license"] == "mit" and head["library_name"] == "bimt_tf" and "in-context" in head["tags"]
    summary = json.loads((whole_run / "summary.json").read_text())
    assert f"| active weights | {summary['active_weights']:,} |" in text
    assert 'load_run("a.zip")' in text and "seed 0" in text and "torch " in text
    assert str(whole_run.parent) not in card


@pytest.mark.parametrize("at", ["shown", "end", "trained"])
def test_a_zip_opens_to_the_same_run(eliminated, tmp_path, at):
    share(eliminated, tmp_path / "run.zip")
    one, two = load_run(eliminated, at=at), load_run(tmp_path / "run.zip", at=at)
    assert one.summary == two.summary and one.metrics == two.metrics and one.probes == two.probes
    assert one.elimination == two.elimination and one.config == two.config and one.state == two.state
    for name, p in one.model.state_dict().items():
        assert torch.equal(p, two.model.state_dict()[name])
    assert one.bimt.layout == two.bimt.layout and one.evaluate() == two.evaluate()
    assert two.path == tmp_path / "run.zip" and "run.zip" in repr(two)
    assert one.figure("network") and two.figure("network")


def test_the_temporary_folder_goes_with_the_run(whole_run, tmp_path):
    share(whole_run, tmp_path / "run.zip")
    run = load_run(tmp_path / "run.zip")
    folder = run._directory.path
    assert folder.is_dir() and stat.S_IMODE(folder.stat().st_mode) == 0o700
    del run
    gc.collect()
    assert not folder.exists()


def test_a_run_inside_one_folder_of_the_zip(whole_run, tmp_path):
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        for path in whole_run.rglob("*"):
            if path.is_file():
                archive.write(path, f"my-run/{path.relative_to(whole_run)}")
        archive.writestr("LICENSE", "mine")
    assert load_run(tmp_path / "f.zip").summary == load_run(whole_run).summary


def foreign(path, name, *, mode=0, content=b"x"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.yaml", "task: in-context\n")
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        archive.writestr(entry, content)
    return path


@pytest.mark.parametrize(
    "name", ["../out.txt", "figures/../../out.txt", "/out.txt", "C:/out.txt", "figures//x", "./x", "a/./b"]
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    with pytest.raises(InputError, match="leads out of its folder"):
        load_run(foreign(place / "evil.zip", name))
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "b", "evil.zip"} and not Path("/out.txt").exists()


def test_links_doubles_and_bombs_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="a link or a device"):
        load_run(foreign(tmp_path / "l.zip", "figures/x", mode=stat.S_IFLNK | 0o777, content=b"/etc/passwd"))
    with pytest.warns(UserWarning), zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("config.yaml", "a"), archive.writestr("config.yaml", "b")
    with pytest.raises(InputError, match="twice"):
        load_run(tmp_path / "d.zip")
    monkeypatch.setattr(zip_files, "MOST_BYTES", 1_000)
    with pytest.raises(InputError, match="no run is that large"):
        load_run(foreign(tmp_path / "b.zip", "metrics.jsonl", content=b"0" * 5_000))
    monkeypatch.setattr(zip_files, "_require_harmless", lambda path, entries: None)  # a list that lies
    with pytest.raises(InputError, match="no run is that large"):
        load_run(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as archive:
        archive.writestr("notes.txt", "a")
    with pytest.raises(InputError, match=r"has no config\.yaml"):
        load_run(tmp_path / "n.zip")


def test_files_that_no_run_has_stay_in_the_zip(whole_run, tmp_path):
    share(whole_run, tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip", "a") as archive:
        archive.writestr("evil.py", "raise SystemExit")
    run = load_run(tmp_path / "run.zip")
    assert not (run._directory.path / "evil.py").exists()


@pytest.mark.parametrize("start", [*range(3_000, 9_000, 750), -3_000, -600, -200])
def test_a_damaged_zip(whole_run, tmp_path, start):
    """Wherever the damage is behind the card, which is not read, one line names the file."""
    share(whole_run, tmp_path / "run.zip")
    content = bytearray((tmp_path / "run.zip").read_bytes())
    start %= len(content)
    for i in range(start, min(start + 150, len(content))):
        content[i] ^= 0x5A
    (tmp_path / "run.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"run\.zip"):
        load_run(tmp_path / "run.zip")


def test_a_zip_is_not_shared_again_and_keeps_no_answers(whole_run, tmp_path, capsys):
    share(whole_run, tmp_path / "a.zip")
    with pytest.raises(InputError, match="is a ZIP file, shared already"):
        share(tmp_path / "a.zip", tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()
    with pytest.raises(SystemExit, match="0"):
        main(["ablate", str(tmp_path / "a.zip"), "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out) and "a.zip is a ZIP file: unpacked, its folder keeps answers" in said.err


def test_a_run_that_has_not_ended_is_not_shared(half_run, tmp_path):
    with pytest.raises(InputError, match="has not been trained to its end"):
        share(half_run, tmp_path / "a.zip")
    with pytest.raises(InputError, match="not a run directory"):
        share(tmp_path, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


class Hub:
    """What a fake HfApi was asked to do."""

    def __init__(self, monkeypatch, refuses=None):
        self.calls, self.files = [], {}
        hub = self

        class Address(str):
            repo_id = "me/net"

        class HfApi:
            def create_repo(self, name, **more):
                hub.calls.append((name, more))
                if refuses:
                    raise refuses
                return Address("https://huggingface.co/me/net")

            def upload_folder(self, *, repo_id, folder_path, commit_message):
                root = Path(folder_path)
                hub.files = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}

        monkeypatch.setattr("huggingface_hub.HfApi", HfApi)
        monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")


def test_push_uploads_what_share_packs(whole_run, tmp_path, monkeypatch):
    hub = Hub(monkeypatch)
    assert push(whole_run, "me/net", private=True) == "https://huggingface.co/me/net"
    assert hub.calls == [("me/net", {"private": True, "exist_ok": True})]
    share(whole_run, tmp_path / "a.zip")
    assert hub.files.keys() == entries(tmp_path / "a.zip").keys()
    for name, content in hub.files.items():
        (tmp_path / "down" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "down" / name).write_bytes(content)
    assert load_run(tmp_path / "down").summary == load_run(whole_run).summary


def test_push_says_what_is_missing(whole_run, monkeypatch):
    hub = Hub(monkeypatch, refuses=OSError("no route\nto host"))
    with pytest.raises(InputError, match="the Hub did not take me/net: no route to host"):
        push(whole_run, "me/net")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(InputError, match="hf auth login"):
        push(whole_run, "me/net")
    with pytest.raises(InputError, match="USER/NAME"):
        push(whole_run, "net")
    assert len(hub.calls) == 1


def test_the_command(whole_run, tmp_path, monkeypatch, capsys):
    def bimt(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return ended.value.code

    hub = Hub(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert bimt("share", whole_run) == 0
    assert capsys.readouterr().out.startswith("shared: run.zip (") and (tmp_path / "run.zip").is_file()
    assert hub.calls == []
    assert bimt("share", whole_run, "--out", "b.zip", "--json") == 0
    assert json.loads(capsys.readouterr().out)["file"] == "b.zip"
    assert bimt("prune", tmp_path / "run.zip") == 0
    capsys.readouterr()
    assert bimt("share", whole_run, "--push", "me/net") == 0
    assert capsys.readouterr().out == "shared: https://huggingface.co/me/net\n" and len(hub.calls) == 1
    assert bimt("share", whole_run, "--push", "me/net", "--out", "c.zip") == 2
    assert "not both" in capsys.readouterr().err
    assert bimt("share", whole_run, "--private", "--out", "d.zip") == 2
    assert "give --push" in capsys.readouterr().err and not (tmp_path / "d.zip").exists()
