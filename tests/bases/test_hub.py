"""Names of the hub, from a folder laid out as its cache; no socket may be opened."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

import zaowu
from zaowu.bases import hub, resolve
from zaowu.errors import UserError

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tiny_base, tmp_path, monkeypatch) -> Path:
    """The hub's cache with somebody/tiny in it; the network is off."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    def refuse(*_: object) -> None:
        raise OSError("a socket was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    put(tmp_path, "somebody/tiny", tiny_base)
    return tmp_path


def put(cache: Path, name: str, folder: Path) -> Path:
    place = cache / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(REVISION)
    return Path(shutil.copytree(folder, place / "snapshots" / REVISION))


def test_a_name_is_found_in_the_cache(hub_cache):
    assert resolve("somebody/tiny").name == REVISION
    assert resolve(f"somebody/tiny@{REVISION}") == resolve("somebody/tiny") == resolve("somebody/tiny", fetch=False)


def test_a_run_remembers_the_revision_and_repeats_with_it(hub_cache, news_csv, other_csv, tmp_path):
    choices = {"test": str(other_csv), "epochs": 1, "quiet": True, "threads": 1}
    run = zaowu.fit(str(news_csv), base="somebody/tiny", out=tmp_path / "run", **choices)
    assert run.config.text.base == run.content.base == f"somebody/tiny@{REVISION}"
    ref = hub_cache / "models--somebody--tiny" / "refs" / "main"
    ref.write_text("f" * 40)  # the hub has moved on
    again = zaowu.fit(str(news_csv), like=tmp_path / "run", out=tmp_path / "again", quiet=True)
    assert again.predict(["一条新闻"]).to_plain() == run.predict(["一条新闻"]).to_plain()


def test_offline_and_absent_is_one_sentence(hub_cache):
    for name in ("somebody/else", "somebody/tiny@other"):
        with pytest.raises(UserError, match=r"hub cannot be reached|hub does not give it") as caught:
            resolve(name)
        assert "\n" not in str(caught.value) and "--base FOLDER" in str(caught.value)


def test_weights_that_could_run_code_are_refused(hub_cache, tiny_base):
    folder = put(hub_cache, "somebody/pickled", tiny_base)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        resolve("somebody/pickled")


def test_without_the_library_the_command_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"zaowu\[hub\]"):
        resolve("somebody/tiny")


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "../tiny", "/tiny/x", "-a/b", "a /b"])
def test_what_is_no_name_of_the_hub(name):
    assert not hub.is_name(name)


def test_a_folder_goes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.is_name("somebody/tiny")
    (tmp_path / "somebody" / "tiny").mkdir(parents=True)
    assert not hub.is_name("somebody/tiny")
