"""Low-rank adapters: a small matrix beside each large one, and only the small ones learn."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:  # it takes a second to import
    from peft import LoraModel


def add_adapters(net: nn.Module, run: Callable[[], object], *, rank: int, seed: int) -> "LoraModel":
    r"""Put a low-rank adapter beside each layer that a forward pass goes through.

    $$W' = W + B A, \quad A \in \mathbb R^{r \times d_{\text{in}}},\ B = 0 \text{ at first}$$

    Adapted are linear layers and convolutions. Attention of torch and of open_clip takes the
    weights of its projections without calling the layer, so an adapter there would learn nothing;
    that is why a forward pass decides.

    Args:
        net: changed in place; all of it is frozen but the adapters.
        run: a forward pass through the part of the net that is to learn.
        rank: r.
        seed: of A; the global random state stays.

    Returns:
        The library's handle on the net; ``merge_and_unload()`` adds B A to W, and gives the net
        back with the layers that it had.

    Source:
        Hu et al. 2022 (arXiv:2106.09685), eq. 3, as in the library peft; $\alpha = r$.
    """
    from peft import LoraConfig, LoraModel

    names = _layers_on_the_way(net, run)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LoraModel(net, config, "default")


def _layers_on_the_way(net: nn.Module, run: Callable[[], object]) -> list[str]:
    """Name the layers that can be adapted and are called."""
    called, hooks = set(), []
    for layer in net.modules():
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1):
            hooks.append(layer.register_forward_hook(lambda layer, *_: called.add(layer)))
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name, layer in net.named_modules() if layer in called]
