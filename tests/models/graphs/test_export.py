"""`enhance models export`: files that run with --model as the model they came from, and files that are refused."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from typer.testing import CliRunner

import enhance_cli
from enhance_cli import metrics
from enhance_cli.cli import app
from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models import registry
from enhance_cli.models.graphs.export_file import export_model
from enhance_cli.models.spec import read_spec

si_sdr = metrics.load("si_sdr")
AUDIO = Path(__file__).parents[2] / "audio_files" / "noisy_speech.flac"


def speech(seconds=2.0):
    with soundfile.SoundFile(AUDIO) as file:
        return file.read(int(seconds * file.samplerate), dtype="float32"), file.samplerate


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return the exported file of a model by name, made once."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def export(name, steps=()):
        if (name, steps) not in made:
            path = folder / f"{name}-{len(made)}.onnx"
            spec, difference = export_model(registry.find(str(name), None), path, steps)
            made[name, steps] = path, spec, difference
        return made[name, steps]

    return export


@pytest.mark.slow
@pytest.mark.parametrize("name", ["denoise-48k", "deepfilternet3"])
def test_an_exported_model_gives_the_samples_of_its_origin(exported, name):
    path, _, _ = exported(name)
    audio, rate = speech()
    mine, origin = (enhance_cli.denoise(audio, rate, model=str(model), device="cpu") for model in (path, name))
    assert np.abs(mine - origin).max() < 1e-5


def test_models_trained_by_users_can_be_exported_and_run_in_as_many_steps_as_wanted(exported, tiny_model):
    path, spec, _ = exported(tiny_model, (1, 2))
    assert (spec.min_steps, spec.max_steps) == (1, 2) and read_spec(path).max_steps == 2
    audio, rate = speech()
    mine, origin = (enhance_cli.denoise(audio, rate, model=str(m), device="cpu", steps=2) for m in (path, tiny_model))
    assert np.abs(mine - audio).max() > 1e-3
    assert np.abs(mine - origin).max() < 1e-5
    with pytest.raises(UsageError, match="takes 1 to 2 steps"):
        enhance_cli.Denoiser(str(path), steps=3)


def test_the_file_says_what_other_programs_need(exported, tiny_model):
    graph = onnx.load(exported(tiny_model, (1, 2))[0])
    onnx.checker.check_model(graph)
    metadata = {item.key: json.loads(item.value) for item in graph.metadata_props}
    assert metadata["enhance"]["network"] == "bridge_unet" and metadata["enhance.graph"]["opset"] == 17
    assert metadata["enhance.frontend"]["window"] == "sqrthann"
    (first, weights), (second, last) = metadata["enhance.sampler"]["2"]
    assert (first, second, last) == (1.0, 0.5, None) and len(weights) == 3


@pytest.mark.parametrize("wrong", [{"runtime": "torch"}, {"precision": "bf16"}, {"sampler": "bridge_sde"}])
def test_an_exported_model_runs_by_onnx_runtime_only(exported, tiny_model, wrong):
    with pytest.raises(UsageError):
        enhance_cli.Denoiser(str(exported(tiny_model)[0]), **wrong)


@pytest.mark.slow
def test_the_program_in_the_documentation_cleans_as_enhance_does(tmp_path, monkeypatch, exported):
    page = (Path(__file__).parents[3] / "docs" / "export.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported("denoise-s")[0], "denoise-s.onnx")
    audio, rate = speech(4.0)
    soundfile.write("in.wav", audio, rate, "FLOAT")
    exec(program, {})
    mine = enhance_cli.denoise(audio, rate, model="denoise-s", device="cpu")
    other, _ = soundfile.read("clean.wav")
    assert si_sdr(mine - audio, other - audio, rate) > 15  # of what was taken out


def test_the_numbers_of_the_program_for_browsers_are_those_of_the_file(exported):
    page = (Path(__file__).parents[3] / "docs" / "export.md").read_text()
    (program,) = re.findall(r"```js\n(.*?)```", page, re.DOTALL)
    graph = onnx.load(exported("denoise-s")[0], load_external_data=False)
    metadata = {item.key: json.loads(item.value) for item in graph.metadata_props}
    ((time, last),) = metadata["enhance.sampler"]["1"]
    bins, margin = (int(re.search(rf"{name} = (\d+)", program)[1]) for name in ("BINS", "MARGIN"))
    assert bins == metadata["enhance.frontend"]["n_fft"] // 2 + 1
    assert margin == metadata["enhance.graph"]["receptive_field"]
    assert time == 1 and last is None and f'Tensor("float32", [{time:g}], [1])' in program


def refusal(path):
    with pytest.raises(ModelError) as caught:
        enhance_cli.Denoiser(str(path), device="cpu")
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path, exported, tiny_model):
    whole = exported(tiny_model)[0].read_bytes()
    path = tmp_path / "x.onnx"
    for content in (b"", b"RIFF....WAVEfmt ", whole[: len(whole) // 2], whole[:-20]):
        path.write_bytes(content)
        refusal(path)
    for place in (len(whole) // 3, len(whole) // 2):  # in the weights, which nothing else would notice
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert "damaged, or changed since it was exported: export the model again" in refusal(path)
    foreign = onnx.load_from_string(whole)
    del foreign.metadata_props[:]
    onnx.save(foreign, path)
    assert "no readable header" in refusal(path)


def test_custom_operators_are_refused(tmp_path, exported, tiny_model):
    graph = onnx.load(exported(tiny_model)[0])
    graph.graph.node[0].domain = "evil.example"
    graph.opset_import.add(domain="evil.example", version=1)
    onnx.save(graph, tmp_path / "x.onnx")
    assert "evil.example" in refusal(tmp_path / "x.onnx")


def without_sum(graph):
    (number,) = (n for n, item in enumerate(graph.metadata_props) if item.key == "enhance.sha256")
    del graph.metadata_props[number]
    return graph


@pytest.mark.parametrize("place", ["/etc/passwd", "../outside", "beside"])
def test_weights_outside_the_file_are_refused(tmp_path, monkeypatch, exported, tiny_model, place):
    graph = without_sum(onnx.load(exported(tiny_model)[0]))
    (tmp_path / "in").mkdir()
    tensor = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    for other in (tmp_path / "outside", tmp_path / "in" / "beside"):
        other.write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    (tmp_path / "in" / "x.onnx").write_bytes(graph.SerializeToString())
    monkeypatch.chdir(tmp_path / "in")
    refusal(tmp_path / "in" / "x.onnx")


def test_a_header_that_does_not_match_its_graph_is_refused(tmp_path, exported, tiny_model):
    graph = without_sum(onnx.load(exported(tiny_model)[0]))
    for item in graph.metadata_props:
        if item.key == "enhance":
            item.value = json.dumps(
                json.loads(item.value) | {"network": "deepfilternet", "process": "", "frontend": None}
            )
    onnx.save(graph, tmp_path / "x.onnx")
    assert "not the one that its header describes" in refusal(tmp_path / "x.onnx")


VAST = onnx.numpy_helper.from_array(np.array([1 << 40, 1 << 20]), "vast")


@pytest.mark.parametrize(
    "nodes, reason",
    [
        ([("ConstantOfShape", ["vast"], ["a"]), ("ReduceSum", ["a"], ["b"]), ("Add", ["made", "b"], ["estimate"])],
         "cannot run its graph"),
        ([("Transpose", ["made"], ["estimate"])], "its estimate has the shape"),
    ],
    ids=["vast", "shape"],
)  # fmt: skip
def test_a_graph_that_cannot_be_computed_is_a_model_error(nodes, reason, tmp_path, exported, tiny_model):
    graph = without_sum(onnx.load(exported(tiny_model)[0]))
    (last,) = (node for node in graph.graph.node if "estimate" in node.output)
    last.output[list(last.output).index("estimate")] = "made"
    graph.graph.node.extend(onnx.helper.make_node(*node) for node in nodes)
    graph.graph.initializer.append(VAST)
    onnx.save(graph, tmp_path / "x.onnx")
    audio, rate = speech(0.5)
    with pytest.raises(ModelError, match=f"x.onnx: .*{reason}") as caught:
        enhance_cli.denoise(audio[None], rate, model=str(tmp_path / "x.onnx"), device="cpu")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_exported_says_why(tmp_path):
    run = lambda *words: CliRunner().invoke(app, ["models", "export", *words])
    for words, reason in (
        (["denoise-s", "-o", "x.pt"], "ends in .onnx"),
        (["denoise-s", "-o", str(tmp_path / "x.onnx"), "--steps", "9"], "--steps 9"),
        (["denoise-s", "--steps", "few"], "must be numbers"),
        (["htdemucs", "-o", str(tmp_path / "x.onnx")], "no model file"),
    ):
        found = run(*words)
        assert found.exception and reason in str(found.exception), words
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_exports_at_once_leave_one_whole_file(tmp_path, tiny_model):
    command = [sys.executable, "-m", "enhance_cli", "models", "export", str(tiny_model), "-o", str(tmp_path / "x.onnx")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        out, err = process.communicate()
        assert process.returncode == 0 and "differ from those of torch" in err, err
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]
    assert read_spec(tmp_path / "x.onnx").network == "bridge_unet"


def test_an_old_onnx_runtime_is_named(monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "__version__", "1.17.3")
    with pytest.raises(ModelError, match="1.17.3 is older than 1.20: pip install"):
        enhance_cli.Denoiser("denoise-s", device="cpu", runtime="onnx", threads=7)
