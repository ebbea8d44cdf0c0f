"""Read checkpoints of SGMSE+ and its successors (classic, 48 kHz and v2 networks, OUVE diffusion or Schroedinger bridge).

They are Lightning files of the public training program, whose settings give network, process, front end and prediction.
(Richter et al., 2023. Richter et al., 2025, "Investigating training objectives for generative speech enhancement".)
"""

from pathlib import Path

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import STEPS, architecture
from enhance_cli.models.convert.lightning import Checkpoint, ema_weights, open_checkpoint
from enhance_cli.models.spec import Spec

PREFIX = "dnn."
BACKBONES = ("ncsnpp", "ncsnpp_48k", "ncsnpp_v2", "ncsnpp_v2_37M", "ncsnpp_v2_16M", "ncsnpp_v2_5M")
BRIDGE_SAMPLERS = {"ode": ("bridge_ode", "bridge_sde"), "sde": ("bridge_sde", "bridge_ode")}
DIFFUSION_SAMPLERS = ("predictor_corrector", "probability_flow")
PUBLISHED_BRIDGE = {"call_at": "later", "eps": 1e-8}  # the network is called at the time where a step ends
ANNEALED = {"corrector": "ald", "corrector_steps": 1, "snr": 0.5}


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.ncsnpp, and the header. Raises ModelError."""
    checkpoint = open_checkpoint(source)
    weights = {key.removeprefix(PREFIX): tensor for key, tensor in ema_weights(checkpoint, PREFIX).items()}
    process, process_args = _process(checkpoint)
    bridge = process == "schroedinger_bridge_ve"
    default_steps, max_steps = STEPS[process]
    samplers = (
        BRIDGE_SAMPLERS[checkpoint.choice("sampler_type", ("ode", "sde"), "ode")] if bridge else DIFFUSION_SAMPLERS
    )
    backbone = checkpoint.choice("backbone", BACKBONES, "ncsnpp")
    return weights, Spec(
        **network(checkpoint, weights, backbone),
        **front_end(checkpoint, backbone),
        process=process,
        process_args=process_args,
        max_steps=max_steps,
        default_steps=min(checkpoint.count("N", default_steps), max_steps) if bridge else default_steps,
        samplers=samplers,
        sampler_args=dict.fromkeys(samplers, PUBLISHED_BRIDGE) if bridge else {"predictor_corrector": ANNEALED},
        prediction=_prediction(checkpoint, backbone),
    )


def network(checkpoint: Checkpoint, weights: dict[str, Tensor], backbone: str) -> dict:
    """Return the header's name, task and network, checked against the weights.

    Raises ModelError for another architecture.
    """
    args = dict(architecture.VARIANTS[backbone])
    for name in architecture.SIZES:
        if checkpoint.settings.get(name) is not None:
            value = checkpoint.settings[name]
            args[name] = list(value) if isinstance(value, (list, tuple)) else value
    args["centered"] = checkpoint.setting("centered", bool, True)
    architecture.check(checkpoint.path, weights, args, backbone)
    return {"name": checkpoint.path.stem, "task": "denoise", "network": "ncsnpp", "network_args": args}


def front_end(checkpoint: Checkpoint, backbone: str, scale: float | None = None) -> dict:
    """Return the header's front end and all fields that follow from it.

    `scale`: default of programs with another one.
    """
    high = backbone == "ncsnpp_48k"
    frontend = {
        "n_fft": checkpoint.count("n_fft", 1534 if high else 510),
        "hop": checkpoint.count("hop_length", 384 if high else 128),
        "exponent": checkpoint.number("spec_abs_exponent", 0.667 if high else 0.5),
        "scale": checkpoint.number("spec_factor", scale or (0.065 if high else 0.15)),
        "window": checkpoint.choice("window", ("hann", "sqrthann"), "hann"),
        "transform": checkpoint.choice("transform_type", ("exponent", "log", "none"), "exponent"),
        "pad_mode": "reflect",
    }
    if frontend["transform"] == "none":
        frontend |= {"transform": "exponent", "exponent": 1.0, "scale": 1.0}
    rate = checkpoint.count("sr", 48000 if frontend["n_fft"] > 1024 else 16000)
    return {
        "frontend": frontend,
        "sample_rate": rate,
        "level": 1.0,
        "normalise": "peak",
        "frames_multiple": 64,
        "frame_padding": "zero" if backbone == "ncsnpp" else "reflect",
        "window_seconds": 4.0 if rate > 24000 else 8.0,
        "training": dict(checkpoint.progress),
    }


def _process(checkpoint: Checkpoint) -> tuple[str, dict]:
    number = checkpoint.number
    if checkpoint.choice("sde", ("ouve", "sbve"), "ouve") == "sbve":
        return "schroedinger_bridge_ve", {"k": number("k", 2.6), "c": number("c", 0.4)}
    return "ouve", {
        "theta": number("theta", 1.5),
        "sigma_min": number("sigma_min", 0.05),
        "sigma_max": number("sigma_max", 0.5),
        "t_eps": number("t_eps", 0.03),
    }


def _prediction(checkpoint: Checkpoint, backbone: str) -> dict:
    """Return the header's prediction.

    Classic networks return the negative score. For v2 the settings define quantity and scaling.
    """
    if not backbone.startswith("ncsnpp_v2"):
        return {"kind": "score", "sign": -1.0}
    predictions = {"score_matching": "score", "denoiser": "denoiser", "data_prediction": "data"}
    predicted = checkpoint.choice("loss_type", predictions, "score_matching")
    if predicted == "denoiser" and checkpoint.settings.get("sde") == "sbve":
        raise ModelError(f"{checkpoint.path}: a bridge with a denoiser is not known", "it cannot be run here")
    prediction = {
        "kind": predicted,
        "input_scaling": checkpoint.choice("c_in", {"1": "1", "edm": "edm_in"}, "1"),
        "output_scaling": checkpoint.choice("network_scaling", {None: "1", "1/sigma": "1/sigma", "1/t": "1/t"}),
        "sigma_data": checkpoint.number("sigma_data", 0.1),
    }
    if predicted == "denoiser":
        return prediction  # published: its c_skip and c_out are not used
    return prediction | {
        "skip": checkpoint.choice("c_skip", {"0": "0", "edm": "edm_skip"}, "0"),
        "out": checkpoint.choice("c_out", {"1": "1", "sigma": "sigma", "1/sigma": "1/sigma", "edm": "edm_out"}, "1"),
    }
