"""noisereduce 3.0.3 (MIT, no weights): non-stationary spectral gating with its defaults. No delay."""

import noisereduce
from worker import RATE, serve

serve(lambda: lambda audio: noisereduce.reduce_noise(y=audio, sr=RATE))
