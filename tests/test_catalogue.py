"""Public files: the registry, and fetching from a server of our own that misbehaves."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click.testing
import pytest

from calibrate.catalogue import download
from calibrate.catalogue.cache import cache_folder, fetch_hint, fetched
from calibrate.catalogue.entries import (
    PublicFile,
    PublicSet,
    human_size,
    public_set,
    public_sets,
    set_of_file,
)
from calibrate.catalogue.fetch import Fetch
from calibrate.cli.main import cli, guarded
from calibrate.context import Context
from calibrate.data.cms_dijet import CmsDijet
from calibrate.data.sources import found_files
from calibrate.errors import ConfigurationError, DataError, FetchError
from tests.mod_writer import simulated, write_set

SIZE = 400_000
MOD_SETS = {"SIM1000": 40, "SIM1400": 40, "SIM1800": 20, "GEN1000": 40, "GEN1400": 40}


# A server that misbehaves


@dataclass
class Server:
    """Files by name; how each is answered, attempt by attempt (the last one for ever), and the
    requests that came: name and first byte asked for.

    `whole`: as it should; `cut`: half, then the connection ends; `stall`: half, then silence;
    `plain`: all of it, whatever range was asked for, without a length; a number: that status.
    """

    files: dict[str, bytes]
    ways: dict[str, list[str | int]] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def way(self, name: str) -> str | int:
        ways = self.ways.get(name, ["whole"])
        return ways.pop(0) if len(ways) > 1 else ways[0]


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[-1]
            first = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
            server.asked.append((name, first))
            content, way = server.files.get(name), server.way(name)
            if content is None or isinstance(way, int):
                self.send_error(404 if content is None else way)
            elif way == "plain":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content)
            elif first >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
            else:
                self._send(content, first, way)

        def _send(self, content: bytes, first: int, way: str | int) -> None:
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(content) - first))
            if first:
                span = f"bytes {first}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", span)
            self.end_headers()
            rest = content[first:]
            self.wfile.write(rest if way == "whole" else rest[: len(rest) // 2])
            self.wfile.flush()
            if way == "stall":
                server.ended.wait(20)

        def log_message(self, *given: Any) -> None:
            pass

    return Handler


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path: Path) -> None:
    """No pauses, a cache of its own, and no proxy between us and our server."""
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setenv("CALIBRATE_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server({f"{i}.h5": bytes([i + 65]) * (SIZE + i) for i in range(5)})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state))
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.ended.set()
    http.shutdown()
    thread.join()
    http.server_close()


def toy(server: Server, number: int = 5) -> PublicSet:
    files = tuple(
        PublicFile(name, f"{server.url}/{name}", f"md5:{hashlib.md5(content).hexdigest()}")
        for name, content in list(server.files.items())[:number]
    )
    return PublicSet("TOY", "toys", files, "none", "nobody")


def folder() -> Path:
    return cache_folder() / "TOY"


def test_files_arrive_whole_and_are_not_fetched_twice(server: Server):
    chosen = toy(server)
    paths = Fetch()(chosen)
    assert [path.read_bytes() for path in paths] == list(server.files.values())
    assert sorted(path.name for path in folder().iterdir()) == sorted(server.files)
    assert fetched(chosen) == paths
    assert len(Fetch()(chosen)) == len(server.asked) == 5


def test_a_part_of_the_files_is_fetched(server: Server):
    chosen = toy(server)
    assert [path.name for path in Fetch(files=2)(chosen)] == ["0.h5", "1.h5"]
    assert len(server.asked) == 2
    Fetch(files=99, parallel=2)(chosen)
    assert len(server.asked) == 5


def test_a_mirror_stands_for_the_addresses(server: Server):
    (file,) = toy(server, 1).files
    away = PublicFile(file.name, "http://127.0.0.1:9/nowhere", file.checksum)
    chosen = PublicSet("TOY", "", (away,), "", "")
    Fetch(base_url=f"{server.url}/mirror/")(chosen)
    assert server.asked == [("0.h5", 0)]


@pytest.mark.parametrize("way", ["cut", "stall"])
def test_what_came_is_kept_and_the_rest_is_asked_for(server: Server, way: str):
    server.ways["0.h5"] = [way, "cut", "whole"]
    (path,) = Fetch(timeout=0.3)(toy(server, 1))
    assert path.read_bytes() == server.files["0.h5"]
    first, second, third = (place for _, place in server.asked)
    assert first == 0
    assert SIZE / 2 - download.BLOCK < second <= SIZE / 2
    assert second < third < SIZE


def test_a_later_command_goes_on(server: Server):
    server.ways["0.h5"] = ["cut", 503]
    with pytest.raises(FetchError, match=r"answers 503 .*; 196608 bytes are kept, and the same"):
        Fetch()(toy(server, 1))
    server.ways["0.h5"] = ["whole"]
    (path,) = Fetch()(toy(server, 1))
    assert path.read_bytes() == server.files["0.h5"]
    assert server.asked[-1] == ("0.h5", 196_608)


def test_nothing_is_asked_for_that_is_here(server: Server):
    folder().mkdir(parents=True)
    (folder() / "0.h5.part").write_bytes(server.files["0.h5"])
    (path,) = Fetch()(toy(server, 1))
    assert path.read_bytes() == server.files["0.h5"]
    assert server.asked == [("0.h5", SIZE)]


def test_a_part_that_is_too_long_is_thrown_away(server: Server):
    folder().mkdir(parents=True)
    (folder() / "0.h5.part").write_bytes(bytes(2 * SIZE))
    (path,) = Fetch()(toy(server, 1))
    assert path.read_bytes() == server.files["0.h5"]


def test_a_server_without_ranges_sends_all_again(server: Server):
    server.ways["0.h5"] = ["cut", "plain"]
    (path,) = Fetch()(toy(server, 1))
    assert path.read_bytes() == server.files["0.h5"]


def test_wrong_bytes_are_kept_aside_and_never_used(server: Server):
    chosen = toy(server, 2)
    server.files["0.h5"] = b"x" * SIZE
    with pytest.raises(FetchError, match=r"0\.h5: md5 \w+ does not match \w+; kept aside as .*-"):
        Fetch()(chosen)
    names = sorted(path.name for path in folder().iterdir())
    assert names[0].startswith("0.h5.wrong-")
    assert names[1:] == ["1.h5"]
    assert fetched(chosen) == [folder() / "1.h5"]


def test_a_file_that_changed_here_is_kept_aside(server: Server):
    chosen = toy(server, 1)
    (path,) = Fetch()(chosen)
    path.write_bytes(b"spoilt")
    with pytest.raises(FetchError, match="does not match"):
        Fetch()(chosen)
    assert Fetch()(chosen)[0].read_bytes() == server.files["0.h5"]


def test_what_is_not_there_is_named_and_the_others_come(server: Server):
    chosen = toy(server)
    del server.files["1.h5"]
    server.ways["2.h5"] = [403]
    with pytest.raises(FetchError, match=r"2 of 5 files could not be fetched: http.*answers 40"):
        Fetch()(chosen)
    assert [path.name for path in fetched(chosen)] == ["0.h5", "3.h5", "4.h5"]
    assert len(list(folder().iterdir())) == 3


def test_a_server_that_stays_silent_is_given_up(server: Server):
    server.ways["0.h5"] = ["stall"]
    with pytest.raises(FetchError, match=r"0\.h5: .*[Tt]imed out.* bytes are kept"):
        Fetch(timeout=0.1)(toy(server, 1))


def test_no_server_is_named():
    file = PublicFile("a.h5", "http://127.0.0.1:9/a.h5", "md5:0")
    with pytest.raises(FetchError, match=r"a\.h5: http://127.* 0 bytes are kept"):
        Fetch()(PublicSet("TOY", "", (file,), "", ""))


def test_two_commands_do_not_write_one_file(server: Server):
    fcntl = pytest.importorskip("fcntl")
    folder().mkdir(parents=True)
    with (folder() / "0.h5.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FetchError, match="is being fetched by another process"):
            Fetch()(toy(server, 1))


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path):
    (tmp_path / "cache").write_text("a file", "utf-8")
    with pytest.raises(FetchError, match=r"cannot be written: .* variable CALIBRATE_DATA"):
        Fetch()(toy(server, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": 0}, "files must be a positive integer, got 0"),
        ({"parallel": 0}, "parallel must be a positive integer"),
        ({"timeout": 0.0}, "timeout must be positive"),
        ({"base_url": "ftp://a"}, "--base-url is an address http"),
    ],
)
def test_wrong_options_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Fetch(**options)


# The registry


@pytest.mark.parametrize(("name", "files"), [*MOD_SETS.items(), ("GEN1800", 20), ("higgsml", 1)])
def test_the_registry_has_all_files_of_a_set(name: str, files: int):
    chosen = public_set(name)
    assert len({file.name for file in chosen.files}) == len(chosen.files) == files
    assert len({file.checksum for file in chosen.files}) == files
    assert all(file.url.startswith("https://") and file.name in file.url for file in chosen.files)
    assert chosen.title
    assert chosen.citation
    assert chosen.licence


def test_files_stand_in_the_order_of_their_numbers():
    names = [file.name for file in public_set("SIM1000").files]
    assert [int(name.split("_")[3]) for name in names] == list(range(40))
    assert set_of_file(names[3]) is public_set("SIM1000")
    assert set_of_file("jets.h5") is None


def test_the_checksums_are_those_of_the_published_list(shared_data: Path):
    lines = (shared_data / "cms2011a_mod_md5.txt").read_text("utf-8").splitlines()
    expected = {name: f"md5:{md5}" for md5, name in map(str.split, lines)}
    found = {
        file.name: file.checksum
        for name, chosen in public_sets().items()
        if name != "higgsml"
        for file in chosen.files
    }
    assert found == expected


def test_an_unknown_name_lists_near_ones():
    with pytest.raises(ConfigurationError, match="no public files 'SIM100': did you mean SIM1"):
        public_set("SIM100")


@pytest.mark.parametrize(
    ("size", "text"), [(None, "size unknown"), (65_630_848, "65.6 MB"), (12, "12 B"),
                       (3 * 10**15, "3000.0 TB")],
)  # fmt: skip
def test_sizes_are_readable(size: int | None, text: str):
    assert human_size(size) == text


# What a run says


def test_a_run_without_its_files_says_how_to_fetch_them():
    command = r"calibrate data fetch SIM1000 \(40 files, size unknown, a part of them with files=2"
    with pytest.raises(DataError, match=command):
        CmsDijet("SIM1000").masses(Context())
    with pytest.raises(DataError, match=f"no file .*{command}"):
        CmsDijet("a/SIM1000_Jet300_pT375-infGeV_7_compressed.h5").masses(Context())
    with pytest.raises(DataError, match=f"matches no file .*{command}"):
        CmsDijet("a/SIM1000*.h5").masses(Context())
    assert "calibrate data fetch higgsml (1 file, 65.6 MB)" in fetch_hint(
        "/a/atlas-higgs-challenge-2014-v2.csv.gz"
    )
    assert fetch_hint("a/*.h5") == fetch_hint("jets.root") == ""


def test_a_set_by_name_stands_for_its_fetched_files():
    target = cache_folder() / "SIM1400"
    target.mkdir(parents=True)
    jets = simulated(1000)
    paths = write_set(target, "SIM1400", jets, 2)
    assert found_files("data.path", ["SIM1400"]) == [paths]
    assert len(CmsDijet(["SIM1400"]).masses(Context())) > 900


# The command


def test_the_list_names_all_sets():
    done = click.testing.CliRunner().invoke(cli, ["data", "list"])
    assert done.exit_code == 0
    assert [f"{name}:" in done.output for name in public_sets()] == [True] * 7
    assert "1 file, 65.6 MB; 0 fetched" in done.output
    assert "40 files, size unknown; 0 fetched" in done.output


def test_the_command_fetches_from_a_mirror(server: Server, monkeypatch, capsys):
    monkeypatch.setitem(public_sets(), "TOY", toy(server))
    arguments = ["data", "fetch", "TOY", "files=2", "--base-url", server.url]
    assert guarded(lambda: cli.main(arguments, standalone_mode=False)) == 0
    told = capsys.readouterr()
    assert f"2 of 5 files of TOY in {folder()}" in told.out
    assert "please cite nobody" in told.out
    assert "0.h5: complete, checksum right" in told.err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["SIM1000", "files=1"], 1, "answers 404"),
        (["SIM1000", "files=x"], 2, "files must be a positive integer, got 'x'"),
        (["SIM1000", "file=1"], 2, "no option 'file=1': the only one is files=N"),
        (["SIM1"], 2, "no public files 'SIM1'"),
    ],
)
def test_the_command_fails_in_one_line(
    server: Server, capsys, arguments: list[str], status: int, message: str
):
    arguments = ["data", "fetch", *arguments, "--base-url", server.url]
    assert guarded(lambda: cli.main(arguments, standalone_mode=False)) == status
    told = capsys.readouterr().err.splitlines()
    assert message in told[-1]
    assert told[-1].startswith("calibrate: error: ")
