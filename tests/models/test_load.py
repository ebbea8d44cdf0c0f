"""Model files: what was saved runs again, and whatever is damaged, foreign or does not fit is refused."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from enhance_cli.errors import EnhanceError, ModelError, UsageError
from enhance_cli.models.load import load_file
from enhance_cli.models.registry import find
from enhance_cli.models.spec import Spec, file_sha256, read_spec
from enhance_cli.models.weights import save_model

CPU = torch.device("cpu")


def flip(path, position: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[position] ^= 0x10
    path.write_bytes(raw)


def rewrite(source, target, edit=lambda header: None, weights=lambda w: w):
    """A copy with another header or other weights."""
    with safe_open(source, framework="pt") as file:
        header = json.loads(file.metadata()["enhance"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dictionary
    edit(header)
    save_file(weights(tensors), target, metadata={"enhance": json.dumps(header)})
    return target


def test_a_saved_model_keeps_its_header_and_its_weights_to_rounded_half_precision(tiny_model, tiny_network):
    assert read_spec(tiny_model).samplers == ("bridge_ode", "bridge_sde")
    with safe_open(tiny_model, framework="pt") as file:
        for name, tensor in tiny_network.state_dict().items():
            saved = file.get_tensor(name)
            matrix = tensor.is_floating_point() and tensor.dim() > 1
            assert saved.dtype == (torch.float16 if matrix else tensor.dtype)
            torch.testing.assert_close(saved.to(tensor.dtype), tensor, rtol=2**-7 + 2**-11, atol=1e-6)
            if matrix:  # which is what makes the package small
                assert not (saved.view(torch.int16) & 3).any()


def test_a_loaded_model_estimates_what_the_saved_network_did(tiny_model, tiny_network):
    model = load_file(tiny_model, CPU)
    assert model.spec == read_spec(tiny_model)
    assert not model.network.training and not any(p.requires_grad for p in model.network.parameters())
    y, t = spectrum(), torch.tensor([0.7])
    with torch.inference_mode():
        torch.testing.assert_close(model.bind(y)[1](y, t), tiny_network(y, y, t), rtol=0.01, atol=0.003)


def spectrum() -> torch.Tensor:
    return 0.3 * torch.randn(1, 2, 20, 257, generator=torch.Generator().manual_seed(0))


def test_the_estimate_is_single_precision_whatever_the_network_runs_in(tiny_model):
    y, t = spectrum(), torch.ones(1)
    exact, rough = (load_file(tiny_model, CPU, precision).bind(y)[1](y, t) for precision in ("fp32", "bf16"))
    assert exact.dtype == rough.dtype == torch.float32
    assert 0 < (exact - rough).abs().max() < 0.1 * exact.abs().max()


def test_one_flipped_byte_anywhere_is_refused(tiny_model, tmp_path):
    digest, size = file_sha256(tiny_model), tiny_model.stat().st_size
    assert load_file(tiny_model, CPU, sha256=digest).spec.name == "tiny"
    for position in (0, 9, 300, size // 2, size - 1):
        copy = tmp_path / "copy.safetensors"
        copy.write_bytes(tiny_model.read_bytes())
        flip(copy, position)
        with pytest.raises(ModelError, match="copy.safetensors: the file is damaged.*reinstall"):
            load_file(copy, CPU, sha256=digest)


def test_a_missing_file_is_a_model_error_with_and_without_a_digest(tmp_path):
    for digest in (None, "0" * 64):
        with pytest.raises(ModelError, match="gone.safetensors: no such model file"):
            load_file(tmp_path / "gone.safetensors", CPU, sha256=digest)


@pytest.mark.parametrize("content", [b"", b"short", b"RIFF....WAVE" * 100, b"\xff" * 4000], ids=repr)
def test_what_is_not_safetensors_is_refused(content, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content[:4000])
    with pytest.raises(ModelError, match="x.safetensors: not a safetensors file"):
        load_file(path, CPU)


def test_truncated_weights_are_refused(tiny_model, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(tiny_model.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cut.safetensors: not a safetensors file"):
        load_file(path, CPU)


@pytest.mark.parametrize(
    "metadata", [None, {}, {"format": "pt"}, {"enhance": "{"}, {"enhance": "[1]"}, {"enhance": "{}"}]
)
def test_safetensors_of_other_programs_are_refused(metadata, tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
    with pytest.raises(ModelError, match="foreign.safetensors: not an enhance model"):
        load_file(path, CPU)


@pytest.mark.parametrize(
    "edit",
    [
        lambda h: h["network_args"].update(channels=[4, 8]),
        lambda h: h["network_args"].update(blocks=2),
        lambda h: h.update(network="os.system"),
        lambda h: h["network_args"].update(color="red"),
        lambda h: h["network_args"].update(channels="wide"),
        lambda h: h.update(process="magic"),
        lambda h: h.update(process_args={"rho": 0.5, "more": 1}),
        lambda h: h.update(frontend={"window": 3}),
        lambda h: h.update(surprise=1),
        lambda h: h.pop("sample_rate"),
        lambda h: h.update(sample_rate=0),
        lambda h: h.update(sample_rate=10**12),
        lambda h: h.update(level=float("nan")),
        lambda h: h.update(window_seconds=1e12),
        lambda h: h.update(default_steps=10**9, max_steps=10**9),
        lambda h: h["frontend"].update(n_fft=2**31),
        lambda h: h["frontend"].update(hop=0),
    ],
    ids=lambda edit: "",
)
def test_a_header_that_does_not_fit_is_a_model_error(edit, tiny_model, tmp_path):
    path = rewrite(tiny_model, tmp_path / "odd.safetensors", edit)
    with pytest.raises(ModelError, match="odd.safetensors"):
        load_file(path, CPU)


@pytest.mark.parametrize("asked", [{"channels": [200_000, 200_000]}, {"blocks": 10_000_000}], ids=repr)
def test_a_header_that_asks_for_all_of_the_memory_is_refused_before_it_is_taken(asked, tiny_model, tmp_path):
    path = rewrite(tiny_model, tmp_path / "vast.safetensors", lambda h: h["network_args"].update(asked))
    with pytest.raises(ModelError, match="vast.safetensors: .*asks for more weights than the file holds"):
        load_file(path, CPU)


def test_missing_and_unknown_weights_and_whole_numbers_are_refused(tiny_model, tmp_path):
    fewer = rewrite(tiny_model, tmp_path / "a.safetensors", weights=lambda w: dict(list(w.items())[1:]))
    more = rewrite(tiny_model, tmp_path / "b.safetensors", weights=lambda w: w | {"extra": torch.zeros(1)})
    whole = rewrite(
        tiny_model, tmp_path / "c.safetensors", weights=lambda w: {k: v.to(torch.int8) for k, v in w.items()}
    )
    for path in (fewer, more, whole):
        with pytest.raises(ModelError, match="the weights do not fit bridge_unet"):
            load_file(path, CPU)


def test_every_refusal_is_one_line_with_a_remedy(tiny_model, tmp_path):
    path = rewrite(tiny_model, tmp_path / "odd.safetensors", lambda h: h["network_args"].update(channels=[4, 8]))
    with pytest.raises(EnhanceError) as caught:
        load_file(path, CPU)
    assert "\n" not in str(caught.value) and caught.value.hint and caught.value.exit_code == 3


def test_a_model_file_may_be_read_by_other_users_as_any_file_may(tmp_path, tiny_model, tiny_network):
    plain = tmp_path / "plain"
    plain.touch()
    spec = replace(read_spec(tiny_model), name="mine", training={"steps": 3})
    save_model(tmp_path / "new" / "mine.safetensors", spec, tiny_network)
    assert read_spec(tmp_path / "new" / "mine.safetensors") == spec
    assert (tmp_path / "new" / "mine.safetensors").stat().st_mode == plain.stat().st_mode


def test_a_header_that_nobody_wrote_for_us_does_not_break_spec(tmp_path):
    with pytest.raises(ModelError):
        Spec.from_metadata({"enhance": "null"}, tmp_path)


def test_a_network_that_is_called_once_takes_one_step_and_no_sampler():
    spec = read_spec(find("deepfilternet3", "denoise").path)
    assert spec.choose(None, None) == (1, "")
    with pytest.raises(UsageError, match="--steps 3: deepfilternet3 takes 1 step: choose one of these"):
        spec.choose(3, None)
    with pytest.raises(UsageError, match="--sampler heun: deepfilternet3 has no sampler: leave it out"):
        spec.choose(None, "heun")
