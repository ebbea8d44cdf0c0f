"""noisereduce 3.0.3 (MIT, no weights): non-stationary spectral gating with its defaults, at any rate. No delay."""

import noisereduce
from worker import serve

serve(lambda: lambda audio, rate: noisereduce.reduce_noise(y=audio, sr=rate))
