"""What the tests of wrong input share."""

import hashlib
import json
import sys
import time
from pathlib import Path

TINY = ("--base", "none", "--size", "mini", "--epochs", "1", "--set", "num_pieces=300", "--threads", "1")
LONGEST = 700  # characters of a sentence


def one_sentence(ended, *expected: str, code: int = 2) -> None:
    assert ended.code == code, ended
    assert not ended.out and "Traceback" not in ended.err, ended
    sentence = ended.err.strip()
    assert 0 < len(sentence) <= LONGEST and "bug in Zaowu" not in sentence, sentence
    for words in expected:
        assert words in sentence, sentence


def rows(*cells: str, header: str = "text,label") -> bytes:
    return "\n".join([header, *cells]).encode()


def edit(run: Path, change, name: str = "zaowu.json") -> None:
    """Changes a JSON file of the run, and the checksums with it."""
    path = run / name
    data = json.loads(path.read_text("utf-8"))
    data = change(data) or data
    path.write_text(json.dumps(data), "utf-8")
    reseal(run)


def reseal(run: Path) -> None:
    path = run / "zaowu.json"
    manifest = json.loads(path.read_text("utf-8"))
    if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict):
        for name in manifest["files"]:
            if len(name) < 100 and (run / name).is_file():
                manifest["files"][name] = hashlib.sha256((run / name).read_bytes()).hexdigest()
        path.write_text(json.dumps(manifest), "utf-8")


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def put(*keys, value):
    """A change that sets one value deep inside."""

    def change(data):
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


def drop(*keys):
    def change(data):
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


def nested(depth: int) -> list:
    found: list = []
    for _ in range(depth):
        found = [found]
    return found


def refused(command, run: Path, *expected: str, harmless: bool = False) -> None:
    """One sentence, quickly, in little memory, and nothing is imported that a good run does not import."""
    before, known, started = snapshot(run), set(sys.modules), time.process_time()
    peak = peak_mb()
    ended = command("predict", run, "一句话", "--quiet")
    if harmless:
        assert ended.code == 0, ended
    else:
        one_sentence(ended, *expected)
    assert time.process_time() - started < 10
    assert peak_mb() - peak < 500
    new = {name.split(".")[0] for name in set(sys.modules) - known}
    assert not new & {"antigravity", "os", "subprocess", "this"} - known
    assert {name for name in new if name not in sys.stdlib_module_names} <= LIBRARIES
    assert snapshot(run) == before


LIBRARIES = {"zaowu", "torch", "safetensors", "tokenizers", "polars", "_polars_runtime", "numpy", "scipy", "sklearn"}


def peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


LIBRARIES |= {"joblib", "threadpoolctl", "jinja2", "markupsafe", "typer", "rich", "huggingface_hub"}
LIBRARIES |= {"pydantic", "pydantic_core", "annotated_types", "typing_inspection"}  # which polars looks for
