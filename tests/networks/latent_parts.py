"""The parts of AudioSR and FlashSR with the weights of the formula."""

import torch

from enhance_cli.networks.bigvgan_sr import BigVGANSR
from tests.golden_numbers import weights


def filled(network: torch.nn.Module, salt: str = "") -> torch.nn.Module:
    """Give all weights by their names in the published files, which are ours."""
    network.load_state_dict(weights(network.state_dict(), salt))
    return network.eval().requires_grad_(False)


def filled_bigvgan(network: BigVGANSR, salt: str = "") -> BigVGANSR:
    """Give all weights by their published names: most are a length and a direction there."""
    state = network.state_dict()
    for name, value in state.items():
        if not name.endswith(".weight") or name.startswith("audio_block."):
            state |= weights({name: value}, salt)
            continue
        length, direction = f"{name}_g", f"{name}_v"
        found = weights({length: value.new_empty(len(value), 1, 1), direction: value}, salt)
        norm = found[direction].flatten(1).norm(dim=1)[:, None, None]
        state[name] = found[length] * found[direction] / norm
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
