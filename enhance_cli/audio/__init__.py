"""Read, write, resample, measure, tag and draw sound files and signals, without models.

Audio is float32 `(C, N)`, full scale -1..1, and always comes in blocks, so that length never costs memory.
"""
