"""Run models on CPUs with ONNX Runtime, without torch: graphs of networks, and NumPy around them.

`graph` opens a graph, `packaged` finds those of shipped networks, `denoiser` runs models for speech, and `export` makes
graphs, by torch.
"""
