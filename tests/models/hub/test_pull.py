"""Published checkpoints: fetched from a real local server, compared, converted once, remembered; nothing is left half done."""

import hashlib
import json
import sys
import threading
import time

import pytest

from enhance_cli.errors import ModelError
from enhance_cli.models import registry
from enhance_cli.models.hub import folders, pull
from enhance_cli.models.hub.https import download
from enhance_cli.models.spec import file_sha256, read_spec
from tests import golden_numbers as golden
from tests.models.hub.local_hub import COMMIT, WITHOUT_WAITING, LocalHub

CHECKPOINT = (golden.FOLDER / "sgmse_tiny_classic.ckpt").read_bytes()
DIGEST = hashlib.sha256(CHECKPOINT).hexdigest()
OTHER = (golden.FOLDER / "sgmse_tiny_v2_midval.ckpt").read_bytes()


def table(name: str = "theirs", **fields) -> str:
    fields = {"task": "denoise", "sample_rate": 16000, "licence": "MIT", "summary": "of others", **fields}
    fields.setdefault("converter", "sgmse")
    fields = {key: value for key, value in fields.items() if value is not None}
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


@pytest.fixture
def server():
    served = LocalHub({"files/tiny.ckpt": CHECKPOINT, "someone/voices/tiny=1.ckpt": CHECKPOINT})
    yield served
    served.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def known(monkeypatch, home):
    """Put tables into weights.toml for this process."""
    shipped = registry._weights_toml()

    def put(*tables):
        monkeypatch.setattr(registry, "_weights_toml", lambda: "\n".join([shipped, *tables]))

    return put


@pytest.fixture
def plain(known, server):
    """`theirs` behind a plain address, of which nothing more is known unless it is given."""
    return lambda **fields: known(table(url=f"{server.url}/files/tiny.ckpt", process="ouve", **fields))


def files(folder) -> list[str]:
    """What is in the folder, locks aside."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return sorted(str(path.relative_to(folder)) for path in found)


def test_pulled_checked_converted_listed_verified_removed(plain, server, enhance, home):
    plain(sha256=DIGEST, size=len(CHECKPOINT))
    missing = enhance("denoise", "a.wav", "--model", "theirs")
    assert missing.code == 3 and "theirs: not here yet: run `enhance models pull theirs`" in missing.stderr
    assert row(enhance)["where"] == "web" and row(enhance)["path"] is None and server.requests == []

    done = enhance("models", "pull", "theirs")
    target = home / "models" / "theirs.safetensors"
    assert done.code == 0 and done.lines == [str(target)], done.stderr
    spec = read_spec(target)
    assert (spec.name, spec.licence, spec.training["source_sha256"]) == ("theirs", "MIT", DIGEST)
    assert spec.training["origin"] == f"{server.url}/files/tiny.ckpt"
    assert "trusted" not in done.stderr
    assert done.stderr.startswith(f"theirs: {len(CHECKPOINT) / 1e6:.1f} MB, license MIT\n"), "said before it is fetched"
    assert files(home) == ["downloads/theirs/tiny.ckpt", "models/theirs.safetensors", "pins/theirs.json"]

    assert (row(enhance)["where"], row(enhance)["steps"]) == ("pulled", "1-200 (30)")
    assert enhance("models", "path", "theirs").lines == [str(target)]
    assert json.loads(enhance("models", "show", "theirs").stdout)["network"] == "ncsnpp"
    assert "theirs: good" in enhance("models", "verify").stderr

    asked = len(server.requests)
    again = enhance("models", "pull", "theirs")
    assert again.code == 0 and again.lines == [str(target)] and "already here" in again.stderr
    assert len(server.requests) == asked

    gone = enhance("models", "remove", "theirs")
    assert gone.code == 0 and str(target) in gone.stderr and files(home) == ["pins/theirs.json"]
    assert enhance("models", "remove", "theirs").code == 3


def row(enhance) -> dict:
    rows = [json.loads(line) for line in enhance("models", "list", "--json").lines]
    return next(row for row in rows if row["name"] == "theirs")


def test_a_damaged_pulled_model_is_found_refused_and_made_anew(plain, enhance, home):
    plain(sha256=DIGEST)
    assert enhance("models", "pull", "theirs").code == 0
    target = home / "models" / "theirs.safetensors"
    good = target.read_bytes()
    target.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert row(enhance)["where"] == "pulled"
    checked = enhance("models", "verify")
    assert checked.code == 3 and "theirs: damaged" in checked.stderr and "enhance models pull" in checked.stderr
    (home / "downloads" / "theirs" / "tiny.ckpt").unlink()
    assert enhance("models", "pull", "theirs").code == 0 and target.read_bytes() == good
    assert enhance("models", "verify").code == 0


def test_the_original_is_deleted_on_request_and_weights_may_be_halved(plain, enhance, home):
    plain(sha256=DIGEST)
    done = enhance("models", "pull", "theirs", "--delete-original", "--half")
    assert done.code == 0 and "deleted the original" in done.stderr
    assert files(home) == ["models/theirs.safetensors", "pins/theirs.json"]
    assert (home / "models" / "theirs.safetensors").stat().st_size < 0.65 * 4 * 47106


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"size": 17}])
def test_a_wrong_file_is_refused_and_nothing_is_left(wrong, plain, enhance, home):
    plain(**wrong)
    done = enhance("models", "pull", "theirs")
    assert done.code == 3 and done.stdout == b"" and len(done.errors) == 1
    assert "not the recorded file" in done.stderr and "must not be trusted" in done.stderr
    assert files(home) == []


def test_a_first_file_is_trusted_and_said_so_and_a_change_of_it_is_refused(plain, server, enhance, home):
    plain(restriction="not for commercial use")
    first = enhance("models", "pull", "theirs")
    assert first.code == 0 and f"trusted from now on: {DIGEST}" in first.stderr
    assert first.stderr.startswith("theirs: size not known, license MIT\ntheirs: not for commercial use\n")
    pin = json.loads((home / "pins" / "theirs.json").read_text())
    assert (pin["sha256"], pin["size"]) == (DIGEST, len(CHECKPOINT))

    assert enhance("models", "remove", "theirs").code == 0
    server.files["files/tiny.ckpt"] = OTHER
    changed = enhance("models", "pull", "theirs")
    assert changed.code == 3 and f"no longer the file that was pulled on {pin['date']}" in changed.stderr
    assert "enhance models remove --forget theirs" in changed.stderr and files(home) == ["pins/theirs.json"]
    assert enhance("models", "remove", "--forget", "theirs").code == 0 and files(home) == []
    trusted = enhance("models", "pull", "theirs")
    assert trusted.code == 0 and hashlib.sha256(OTHER).hexdigest() in trusted.stderr


def test_an_interrupted_transfer_goes_on_where_it_stopped(plain, server, enhance, home):
    plain(sha256=DIGEST)
    server.cut = True
    assert enhance("models", "pull", "theirs").code == 0, "it should have gone on by itself"
    assert len(server.requests) == 2

    assert enhance("models", "remove", "--forget", "theirs").code == 0
    part = home / "downloads" / "theirs" / ".tiny.ckpt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CHECKPOINT[:1000])
    part.with_name(part.name + ".etag").write_text(f'"{DIGEST}"')
    server.status = 503
    down = enhance("models", "pull", "theirs")
    assert down.code == 3 and "the download failed (HTTP 503)" in down.stderr and "goes on where" in down.stderr
    server.status = None
    assert enhance("models", "pull", "theirs").code == 0

    assert enhance("models", "remove", "--forget", "theirs").code == 0
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of an older file")
    part.with_name(part.name + ".etag").write_text('"older"')
    assert enhance("models", "pull", "theirs").code == 0, "parts of two versions were mixed"

    assert enhance("models", "remove", "--forget", "theirs").code == 0
    part.parent.mkdir(parents=True)
    part.write_bytes(CHECKPOINT + b"more")
    part.with_name(part.name + ".etag").write_text(f'"{DIGEST}"')
    assert enhance("models", "pull", "theirs").code == 0, "a part that is too long was not thrown away"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
def test_of_two_runs_that_fetch_one_file_the_second_waits_for_the_first(server, tmp_path):
    """Else both would append to the same unfinished file."""
    url, target, requests = f"{server.url}/files/tiny.ckpt", tmp_path / "tiny.ckpt", []
    second = threading.Thread(target=download, args=(url, target))

    def progress(done, total):
        if not requests:
            second.start()
            time.sleep(0.3)
            requests.append(len(server.requests))

    download(url, target, progress)
    second.join(20)
    assert requests == [1] and len(server.requests) == 2
    assert target.read_bytes() == CHECKPOINT and files(tmp_path) == ["tiny.ckpt"]


@pytest.mark.parametrize(
    ("status", "said"), [(404, "no such file on the server"), (401, "refuses access"), (403, "refuses access")]
)
def test_refusals_are_one_line_and_exit_3(status, said, plain, server, enhance, home):
    plain()
    server.status = status
    done = enhance("models", "pull", "theirs")
    assert done.code == 3 and said in done.stderr and len(done.errors) == 1 and files(home) == []


def test_a_busy_server_is_asked_again_when_it_says_and_not_for_hours(plain, server, enhance, home):
    plain()
    server.busy, server.wait = 10, "3600"
    done = enhance("models", "pull", "theirs")
    assert done.code == 3 and len(done.errors) == 1 and "HTTP 429): try again in 3,600 s" in done.stderr
    server.busy, server.wait = 10, "0"
    done = enhance("models", "pull", "theirs")
    assert done.code == 3 and len(done.errors) == 1 and "the server answers HTTP 429: try again later" in done.stderr
    server.busy, server.wait = 2, "0"
    assert enhance("models", "pull", "theirs").code == 0


def test_no_server_and_forbidden_networks(plain, server, enhance, home, monkeypatch):
    plain()
    server.close()
    done = enhance("models", "pull", "theirs")
    assert done.code == 3 and "cannot be reached" in done.stderr and files(home) == []
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE forbids" in enhance("models", "pull", "theirs").stderr


def test_a_proxy_that_stands_in_the_way_is_named_without_its_password(known, enhance, home, monkeypatch):
    known(table(url="https://example.org/tiny.ckpt"))
    monkeypatch.setenv("https_proxy", "http://me:secret@127.0.0.1:9")
    done = enhance("models", "pull", "theirs")
    assert done.code == 3 and len(done.errors) == 1 and "secret" not in done.stderr
    assert "check the connection, and https_proxy=http://127.0.0.1:9" in done.errors[0]


def test_a_malicious_or_foreign_file_is_not_converted_and_not_pinned(plain, server, enhance, home, tmp_path):
    plain()
    for name in ("malicious_zip.ckpt", "malicious_legacy.ckpt"):
        server.files["files/tiny.ckpt"] = (golden.FOLDER / name).read_bytes()
        done = enhance("models", "pull", "theirs")
        assert done.code == 3 and "io.open" in done.stderr
        assert files(home) == ["downloads/theirs/tiny.ckpt"] and not (tmp_path / "pwned").exists()
        assert enhance("models", "remove", "theirs").code == 0


def test_a_folder_that_cannot_be_written_is_named(plain, enhance, home):
    plain()
    home.write_text("a file, not a folder")
    done = enhance("models", "pull", "theirs")
    assert done.code == 3 and len(done.errors) == 1 and "home" in done.stderr


def test_the_list_loads_neither_torch_nor_the_hub_client(run_python):
    code = """
import sys
sys.argv = ["enhance", "models", "list"]
from enhance_cli.cli import app
try: app()
except SystemExit: pass
sys.exit(str({"torch", "huggingface_hub"} & set(sys.modules) or "") or 0)
"""
    assert run_python("-c", code).code == 0


def test_plain_http_from_elsewhere_is_refused(known, enhance):
    known(table(url="http://example.org/tiny.ckpt"))
    done = enhance("models", "pull", "theirs")
    assert done.code == 3 and "not an https address" in done.stderr


def test_names_that_cannot_be_pulled(known, enhance):
    known(table(url="https://example.org/tiny.ckpt"))
    for name, said in (
        ("denoise-s", "ships with this program"),
        ("thiers", "did you mean theirs?"),
    ):
        done = enhance("models", "pull", name)
        assert done.code == 3 and said in done.stderr
    assert "ships with this program" in enhance("models", "remove", "denoise-s").stderr
    assert json.loads(enhance("models", "show", "theirs").stdout)["url"] == "https://example.org/tiny.ckpt"


def test_a_model_file_behind_an_address(server, enhance, home, tiny_model):
    server.files["files/tiny.safetensors"] = tiny_model.read_bytes()
    for _ in range(2):
        done = enhance("models", "show", f"{server.url}/files/tiny.safetensors")
        assert done.code == 0 and json.loads(done.stdout)["name"] == "tiny"
    assert len(server.requests) == 1
    wrong = enhance("models", "show", f"{server.url}/files/tiny.ckpt")
    assert wrong.code == 3 and "not the address of a .safetensors file" in wrong.stderr
    assert enhance("models", "show", f"{server.url}/files/none.safetensors").code == 3


def test_a_pin_that_cannot_be_read_is_no_reason_to_trust(plain, enhance, home):
    plain()
    (home / "pins").mkdir(parents=True)
    (home / "pins" / "theirs.json").write_text("{")
    done = enhance("models", "pull", "theirs")
    assert done.code == 3 and "the pin of theirs cannot be read" in done.stderr and "--forget" in done.stderr


BLOCKED = """
import socket
def refuse(*_, **__): raise AssertionError("the network was asked")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
PATCHED = """
import sys
from enhance_cli.models import registry
shipped = registry._weights_toml()
registry._weights_toml = lambda: shipped + open({table!r}).read()
from enhance_cli.cli import main
for command in " ".join(sys.argv[1:]).split(" then "):
    sys.argv = ["enhance", *command.split()]
    try: main()
    except SystemExit as end:
        if end.code: raise
"""


@pytest.fixture
def hub(server, run_python, tmp_path, home):
    """`enhance ARGUMENTS`, and more of them after the word "then", in a process of its own up to the first that fails.

    Its Hub is the local server, and `theirs` is in its weights.toml.
    """

    def run(*arguments, blocked=False, **fields):
        known = tmp_path / "table.toml"
        known.write_text("\n" + table(repo="someone/voices", file="tiny=1.ckpt", process="ouve", **fields))
        env = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        code = WITHOUT_WAITING + (BLOCKED if blocked else "") + PATCHED.format(table=str(known))
        return run_python("-c", code, *arguments, env=env)

    return run


@pytest.mark.slow
def test_from_the_hub_pinned_to_its_commit_and_then_without_any_network(hub, server, home, tmp_path):
    done = hub("models", "pull", "theirs")
    assert done.code == 0, done.stderr
    assert f"trusted from now on: {DIGEST}" in done.stderr
    pin = json.loads((home / "pins" / "theirs.json").read_text())
    assert (pin["revision"], pin["sha256"]) == (COMMIT, DIGEST)
    looks = "models pull theirs then models verify then models path theirs then models list"
    looked = hub(*looks.split(), blocked=True)
    assert looked.code == 0 and str(home / "models" / "theirs.safetensors") in looked.lines, looked.stderr

    (home / "models" / "theirs.safetensors").unlink()
    assert hub("models", "pull", "theirs", blocked=True).code == 0, "the Hub's cache was not used"
    (home / "models" / "theirs.safetensors").unlink()
    assert hub("models", "pull", "theirs", "--delete-original", blocked=True).code == 0
    assert not [path for path in (tmp_path / "hf").rglob("*") if path.is_file() and path.stat().st_size > 1000]

    (home / "models" / "theirs.safetensors").unlink()
    server.files["someone/voices/tiny=1.ckpt"] = OTHER
    changed = hub("models", "pull", "theirs")
    assert changed.code == 3 and "no longer the file that was pulled" in changed.stderr
    assert all(f"/resolve/{COMMIT}/" in path for method, path in server.requests[-2:] if method == "GET")


def test_from_the_hub_a_wrong_hash_leaves_nothing(hub, home, tmp_path):
    done = hub("models", "pull", "theirs", sha256="0" * 64, revision=COMMIT)
    assert done.code == 3 and "not the recorded file" in done.stderr and len(done.errors) == 1
    assert files(home) == []
    assert not [path for path in (tmp_path / "hf").rglob("*") if path.is_file() and path.stat().st_size > 1000]


@pytest.mark.slow
def test_from_the_hub_refusals(hub, server, home):
    server.gated = True
    gated = hub("models", "pull", "theirs")
    assert gated.code == 3 and "hf auth login" in gated.stderr and len(gated.errors) == 1
    server.gated = False
    del server.files["someone/voices/tiny=1.ckpt"]
    server.files["someone/voices/else"] = b""
    assert "no such file in someone/voices" in hub("models", "pull", "theirs").stderr
    server.close()
    down = hub("models", "pull", "theirs")
    assert down.code == 3 and "the Hub cannot be reached" in down.stderr and files(home) == []
    assert f"and check HF_ENDPOINT={server.url}" in down.stderr


@pytest.mark.slow
def test_a_hub_that_is_busy_is_not_called_out_of_reach(hub, server):
    server.status = 503
    done = hub("models", "pull", "theirs")
    assert done.code == 3 and len(done.errors) == 1 and "the Hub answers HTTP 503: try again later" in done.stderr


@pytest.mark.slow
def test_from_the_hub_a_transfer_cut_short_is_completed(hub, server):
    server.cut = True
    first = hub("models", "pull", "theirs")
    assert first.code == 0 or "the download failed" in first.stderr
    assert hub("models", "pull", "theirs").code == 0


def test_the_cache_folder_is_the_platforms_own(monkeypatch, tmp_path):
    monkeypatch.delenv("ENHANCE_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert folders.home() == tmp_path / "xdg" / "enhance"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert folders.home() == tmp_path / "local" / "enhance"
    monkeypatch.setenv("ENHANCE_HOME", "~/mine")
    assert folders.home() == folders.Path.home() / "mine"


def test_every_published_model_of_the_table_is_complete(home):
    from enhance_cli.models.convert import CONVERTERS, STEPS

    found = registry.published()
    assert {"sgmse-voicebank", "sgmse-speechbrain", "sgmse-m1", "sb-voicebank-ears"} <= {e.name for e in found}
    assert not {e.name for e in found} & {e.name for e in registry.entries()}
    for entry in found:
        source = entry.source
        assert bool(source.repo) != bool(source.url) and entry.licence and entry.summary and entry.sample_rate
        assert source.url is None or source.url.startswith("https://")
        assert source.revision is None or len(source.revision) == 40
        assert source.sha256 is None or len(source.sha256) == 64
        assert ("NC" in entry.licence) <= bool(source.restriction)
        assert not entry.default and not entry.path.exists()
        if source.package:
            assert registry.find(entry.name, entry.task) == entry  # its package knows whether it is here
            continue
        assert source.converter in CONVERTERS and (source.url or source.file), "nobody can run it"
        sampled = entry.task == "denoise" and source.converter not in ("dpdfnet", "fastenhancer")
        assert source.process in STEPS or not sampled, "what samples has a number of steps"
        with pytest.raises(ModelError, match="not here yet"):
            registry.find(entry.name, entry.task)


def test_pull_from_python_reports_progress(plain, home):
    plain(sha256=DIGEST)
    seen = []
    path = pull.pull("theirs", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(CHECKPOINT), len(CHECKPOINT)) and file_sha256(path)
