"""Write the graphs of the shipped networks, without weights: `python tools/onnx_graphs.py`.

Run it after a network's code or the network_args of a shipped model have changed. New weights alone need nothing: the
graphs are given the weights of the model's file when they are opened.
"""

from pathlib import Path

from enhance_cli.atomic import replace_file
from enhance_cli.models import registry
from enhance_cli.models.graphs import packaged
from enhance_cli.models.graphs.export import graph_of
from enhance_cli.models.graphs.signatures import SIGNATURES
from enhance_cli.models.weights import load_network


def main(folder: Path | None = None) -> None:
    written = set()
    for entry in registry.entries():
        spec, network = load_network(entry.path, fold=False)
        for name in packaged.graph_names(spec):
            path = packaged.graph_path(spec, name)
            path = path if folder is None else folder / path.name
            if name in SIGNATURES and path not in written:
                with replace_file(path) as file:
                    file.write(graph_of(name, network, weights=False).SerializeToString(deterministic=True))
                print(path)
                written.add(path)
    for path in (packaged.folder() if folder is None else folder).glob("*.onnx"):
        if path not in written:
            path.unlink()


if __name__ == "__main__":
    main()
