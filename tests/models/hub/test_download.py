"""Models from a Hub: a real local HTTP server, real downloads, and a real cache."""

import json
import os
import subprocess
import sys

import pytest

from tests.models.hub.local_hub import COMMIT, WITHOUT_WAITING, LocalHub

REFERENCE = "hub:someone/voices/models/tiny.safetensors"


@pytest.fixture
def hub(identity_model):
    with open(identity_model, "rb") as file:
        served = LocalHub({"someone/voices/models/tiny.safetensors": file.read()})
    yield served
    served.close()


@pytest.fixture
def show(hub, tmp_path):
    """`enhance models show REFERENCE` in a process of its own with an empty cache; (exit code, stdout, stderr)."""

    def run(reference=REFERENCE, **env):
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        code = WITHOUT_WAITING + "from enhance_cli.__main__ import main\nmain()"
        command = [sys.executable, "-c", code, "models", "show", reference]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings | env)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.slow
def test_a_model_is_fetched_once_and_then_comes_from_the_cache_with_the_hub_gone(hub, show):
    code, out, err = show()
    assert code == 0, err
    assert json.loads(out)["task"] == "denoise"
    asked = len(hub.requests)
    assert asked
    assert show()[0] == 0
    assert len(hub.requests) == asked, "a cached model asked the network"
    hub.close()
    assert show()[0] == 0


@pytest.mark.slow
def test_a_hub_that_stalls_is_told_in_one_line(hub, show):
    hub.silent = 3
    code, _, err = show(HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert code == 3 and err.count("\n") == 1 and "the download failed" in err and "run again" in err
    hub.silent = 0
    assert show()[0] == 0


def test_a_pinned_revision_is_what_the_server_is_asked_for(hub, show):
    assert show(f"{REFERENCE}@{COMMIT}")[0] == 0
    asked = [path for _, path in hub.requests if "/resolve/" in path]
    assert asked and all(f"/resolve/{COMMIT}/" in path for path in asked)


def test_a_download_cut_short_is_not_used_and_the_next_run_completes_it(hub, show):
    hub.cut = True
    code, _, err = show()
    if code:  # the client may also have gone on by itself
        assert code == 3 and err.count("\n") == 1 and "the download failed" in err
    code, out, err = show()
    assert code == 0, err
    assert json.loads(out)["task"] == "denoise"


@pytest.mark.parametrize(
    "reference, message",
    [
        ("hub:someone/nothing/tiny.safetensors", "no such repository"),
        ("hub:someone/voices/other.safetensors", "no such file in someone/voices"),
        ("hub:someone/voices", "write hub:OWNER/REPO/FILE.safetensors"),
        ("hub:someone/voices/model.ckpt", "write hub:OWNER/REPO/FILE.safetensors"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_3(show, reference, message):
    code, out, err = show(reference)
    assert (code, out) == (3, "")
    assert message in err and err.count("\n") == 1


def test_a_cache_that_cannot_be_written_is_named_with_the_remedy(hub, show, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = show(HF_HOME=str(tmp_path / "file" / "hf"))
    assert code == 3 and err.count("\n") == 1
    assert f"{tmp_path}/file" in err and "cannot be written" in err and "set HF_HOME to another folder" in err


@pytest.mark.slow
def test_gated_and_unreachable_hubs_say_what_to_do(hub, show):
    hub.gated = True
    for token in ("", "hf_known"):
        code, _, err = show(HF_TOKEN=token)
        assert code == 3 and "gated: accept its terms" in err and "hf auth login" in err and err.count("\n") == 1
    asked = len(hub.requests)
    code, _, err = show(HF_HUB_OFFLINE="1")
    assert code == 3 and "HF_HUB_OFFLINE forbids the network" in err and len(hub.requests) == asked
    hub.close()
    code, _, err = show()
    assert code == 3 and "not in the cache, and the Hub cannot be reached" in err and err.count("\n") == 1
