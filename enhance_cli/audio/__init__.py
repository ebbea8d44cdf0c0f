"""Sound files and signals, and nothing of models: read, write, resample, measure, carry tags, draw.

Audio is float32 `(C, N)`, full scale -1..1, and always comes in blocks, so that length never costs memory.
"""
