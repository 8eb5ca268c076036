"""With a base on the machine, or none, no command makes a network call. The base is a folder here, never the hub's."""

import os
import socket
import urllib.request

import pytest

WAYS_OUT = (
    (socket.socket, "connect"),
    (socket.socket, "connect_ex"),
    (socket.socket, "sendto"),
    (socket, "create_connection"),
    (socket, "getaddrinfo"),
    (socket, "gethostbyname"),
)


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """Every way out is shut. Whoever tries one fails and is written down, even if nobody hears of the failure."""
    made: list[str] = []

    def shut(name: str):
        def refuse(*given, **more):
            made.append(name)
            raise OSError(f"a network call: {name}")

        return refuse

    for owner, name in WAYS_OUT:
        monkeypatch.setattr(owner, name, shut(name))
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name)  # no promise of being offline keeps a library quiet
    return made


def test_the_ways_out_are_shut(calls):
    with pytest.raises(OSError, match="a network call"), socket.socket() as way:
        way.connect(("127.0.0.1", 9))
    with pytest.raises(OSError, match="a network call"):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(OSError, match="a network call"):
        urllib.request.urlopen("http://localhost:9/")
    assert calls == ["connect", "create_connection", "create_connection"]


@pytest.mark.parametrize("base", ["a folder", "none"])
def test_no_command_goes_out(command, calls, base, news_csv, other_csv, tiny_base, tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = ("--base", tiny_base) if base == "a folder" else ("--base", "none", "--size", "mini")
    small = ("--epochs", "1", "--set", "num_pieces=300", "--threads", "1", "--precision", "fp32")
    for arguments in (
        ("check", news_csv, "--test", other_csv),
        ("fit", news_csv, "--test", other_csv, "--out", "run", *chosen, *small),
        ("predict", "run", "姚明宣布退役", "--top", "2"),
        ("predict", "run", other_csv, "--out", "answers.csv"),
        ("evaluate", "run", other_csv),
        ("compare", "run", tiny_run, "--data", other_csv),
        ("report", "run", "--lang", "zh"),
        ("bases",),
        ("bases", "--json"),
    ):
        ended = command(*arguments)
        assert ended.code == 0, (arguments, ended)
        assert not calls, (arguments, calls)
    assert (tmp_path / "runs" / "comparison.html").is_file() and (tmp_path / "answers.csv").is_file()
