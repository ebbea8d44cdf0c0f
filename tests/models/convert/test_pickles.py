"""Torch files of strangers: read as data or refused, and never run, whatever the format."""

import argparse
import pickle
import shutil
import zipfile
from collections import OrderedDict

import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.file import SIGNATURE_TENSORS, convert_file
from enhance_cli.models.convert.pickles import Inert, named_globals, read
from tests import golden_numbers as golden
from tests.models.convert.foreign import foreign_class

MALICIOUS = ["malicious_zip.ckpt", "malicious_legacy.ckpt", "malicious_plain.pkl"]


@pytest.mark.parametrize("name", MALICIOUS)
@pytest.mark.parametrize("how", ["auto", "sgmse", "storm", "speechbrain", "bbed"])
def test_a_malicious_file_is_refused_by_every_converter_and_creates_nothing(name, how, enhance, tmp_path):
    shutil.copy(golden.FOLDER / name, tmp_path)
    done = enhance("models", "convert", name, "-o", "out.safetensors", "--from", how)
    assert done.code == 3 and done.stdout == b""
    assert len(done.stderr.splitlines()) == 1 and f"{name}: refused" in done.stderr and "io.open" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


CONVERT_EACH = """
import sys
from enhance_cli.cli import main
for name in sys.argv[1:]:
    sys.argv = ["enhance", "models", "convert", name, "-o", "out.safetensors"]
    try: main()
    except SystemExit as end: print(name, end.code)
"""


@pytest.mark.slow
def test_nor_in_a_process_of_its_own(run_python, tmp_path):
    for name in MALICIOUS:
        shutil.copy(golden.FOLDER / name, tmp_path)
    done = run_python("-c", CONVERT_EACH, *MALICIOUS)
    assert done.code == 0 and done.lines == [f"{name} 3" for name in MALICIOUS]
    assert len(done.errors) == 3 and all("io.open" in line for line in done.errors) and "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {*MALICIOUS}


@pytest.mark.parametrize("zipped", [True, False])
def test_known_foreign_objects_become_inert_and_tensors_are_exact(zipped, tmp_path):
    weight = torch.randn(3, 4, dtype=torch.float64)
    with foreign_class("sgmse.data_module.SpecsDataModule") as kind:
        made = kind()
        made.color = "red"
        content = {"class": kind, "object": made, "weight": weight, "order": OrderedDict(a=torch.Size([2]))}
        torch.save(content, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    found = read(tmp_path / "x.ckpt")
    assert torch.equal(found["weight"], weight) and found["order"] == {"a": torch.Size([2])}
    assert found["class"] is Inert and type(found["object"]) is Inert and found["object"]["color"] == "red"


@pytest.mark.parametrize("zipped", [True, False])
def test_every_foreign_name_is_listed(zipped, tmp_path):
    with foreign_class("evil.corp.Trainer") as one, foreign_class("other.Thing") as two:
        torch.save({"a": one, "b": two()}, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"x.ckpt: refused.*evil\.corp\.Trainer.*other\.Thing") as caught:
        read(tmp_path / "x.ckpt")
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)


class Reduces:
    """Pickles as a call of `function`; what a plain unpickler would call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_the_names_in_a_bare_pickle_of_any_protocol_are_seen(protocol, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": Reduces(exec, "open('pwned', 'w')")}, protocol))
    with pytest.raises(ModelError, match=r"refused.*(builtins|__builtin__)\.exec"):
        read(tmp_path / "x.pkl")
    assert not (tmp_path / "pwned").exists()


def test_a_name_in_a_second_pickle_of_the_archive_is_seen(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "x.ckpt")
    with zipfile.ZipFile(tmp_path / "x.ckpt", "a") as archive:
        archive.writestr("x/other.pkl", pickle.dumps(Reduces(exec, "1"), 2))
    assert "__builtin__.exec" in named_globals(tmp_path / "x.ckpt")
    with pytest.raises(ModelError, match="exec"):
        read(tmp_path / "x.ckpt")


def test_an_allowed_class_cannot_be_used_to_call_anything(tmp_path):
    """A stub takes any arguments and does nothing with them, and attributes cannot be reached through it."""
    torch.save({"a": argparse.Namespace(theta=1.5, gpus=[0])}, tmp_path / "x.ckpt")
    assert read(tmp_path / "x.ckpt") == {"a": {"theta": 1.5, "gpus": [0]}}
    (tmp_path / "y.pkl").write_bytes(b"\x80\x04\x8c\x08argparse\x8c\x0fNamespace.write\x93.")
    with pytest.raises(ModelError, match=r"Namespace\.write"):
        read(tmp_path / "y.pkl")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused_wherever_it_ends(zipped, tmp_path):
    torch.save({"weight": torch.randn(1000)}, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "x.ckpt").read_bytes()
    for length in (0, 1, 15, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.ckpt").write_bytes(whole[:length])
        with pytest.raises(
            ModelError, match="cut.ckpt: not a torch file that can be read safely, or damaged"
        ) as caught:
            read(tmp_path / "cut.ckpt")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"hello", b"RIFF" * 100, b"\xff" * 1000, b"PK\x03\x04" + bytes(100)], ids=repr)
def test_what_is_no_torch_file_is_refused(content, tmp_path):
    (tmp_path / "x.ckpt").write_bytes(content[:1000])
    with pytest.raises(ModelError, match="x.ckpt"):
        read(tmp_path / "x.ckpt")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_small_file_cannot_fill_the_memory(zipped, tmp_path):
    vast = {"a": [torch.zeros(1).expand(10**6, 10**6)]}
    torch.save(vast, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"x.ckpt: .*shape \[1000000, 1000000\] has fewer numbers"):
        read(tmp_path / "x.ckpt")
    with zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(1 << 25))
    assert (tmp_path / "bomb.ckpt").stat().st_size < 1 << 16
    with pytest.raises(ModelError, match="bomb.ckpt: .*data.pkl is too large"):
        read(tmp_path / "bomb.ckpt")


@pytest.mark.parametrize("key", SIGNATURE_TENSORS)
@pytest.mark.parametrize("shape", [(), (0,), (3, 2)], ids=str)
def test_a_tensor_of_another_shape_than_a_converter_expects_is_a_model_error(key, shape, tmp_path):
    torch.save({key: torch.zeros(shape)}, tmp_path / "x.ckpt")
    with pytest.raises(ModelError, match="x.ckpt: ") as caught:
        convert_file(tmp_path / "x.ckpt", "x", tmp_path / "x.safetensors")
    assert "\n" not in str(caught.value) and not (tmp_path / "x.safetensors").exists()


def test_missing_files_folders_and_other_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("hello.txt", "hello")
    for name in ("gone.ckpt", ".", "a.zip"):
        with pytest.raises(ModelError):
            read(tmp_path / name)


def test_an_archive_that_holds_a_checkpoint_is_to_be_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        archive.write(golden.FOLDER / "sgmse_tiny_classic.ckpt", "small/00500.pth")
    with pytest.raises(ModelError, match="release.zip: an archive with small/00500.pth in it: unpack it"):
        read(tmp_path / "release.zip")
