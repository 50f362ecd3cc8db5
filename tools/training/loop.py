"""A training loop that can be stopped and continued."""

import copy
import csv
import io
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from course_utils.runtime import write_atomically
from tools.training.files import say, say_numbers


@dataclass(frozen=True)
class Budget:
    """How long a run may take and how fast it learns.

    A run ends when the wall-clock minutes or the steps are used up, whichever comes first. The
    learning rate stays until the last ``decay_share`` of the budget and falls to zero over it, as
    half a cosine; with a share below 1 a resumed run may be given a longer budget.
    """

    minutes: float
    steps: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: int = 200
    ema_decay: float = 0.999
    decay_share: float = 1.0
    has_muon: bool = False  # for hidden matrices and kernels; AdamW for all else
    save_every: float = 150.0  # seconds
    print_every: float = 30.0  # seconds


def fit(
    net: nn.Module,
    loss_at: Callable[[int], tuple[Tensor, dict[str, float]]],
    *,
    folder: Path,
    budget: Budget,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
) -> nn.Module:
    """Train ``net`` until the budget is used; return it with averaged weights, in eval mode.

    Args:
        net: on its device.
        loss_at: from the step's number to (loss, further numbers to log); everything that it
            draws must follow from the step, so that a resumed run sees what it would have seen.
        folder: for ``checkpoint.pt``, from which a run goes on, ``loss.csv``, ``validation.csv``.
        budget: when to end and how fast to learn.
        evaluate: from the averaged network to numbers; called at each fifth of the budget.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = Optimizer(net, budget)
    parts = {"net": net, "ema": copy.deepcopy(net).requires_grad_(False).eval()}
    parts["optimizer"] = optimizer
    step, used, judged = _restore(folder, parts)
    began, saved, printed, recent = time.monotonic() - used, used, used, []
    net.train()
    while (done := max(step / budget.steps, used / (60 * budget.minutes))) < 1:
        optimizer.set_learning_rate(learning_rate(budget, step=step, done=done))
        loss, extra = loss_at(step)
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {loss.item()} at step {step}; lower --learning-rate")
        net.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        _average(parts["ema"], net, min(budget.ema_decay, (1 + step) / (10 + step)))
        used = time.monotonic() - began
        recent.append({"loss": loss.item(), **extra})
        if used - printed > budget.print_every or step == budget.steps:
            printed = used
            _report(folder, budget, recent, step=step, used=used)
        if evaluate and int(5 * done) > judged:
            judged, numbers = int(5 * done), evaluate(parts["ema"])
            say_numbers(f"{folder.name} validation", numbers)
            _append(folder / "validation.csv", {"step": step, **numbers})
        if used - saved > budget.save_every:
            saved = used
            _save(folder, parts, step=step, used=used, judged=judged)
    _save(folder, parts, step=step, used=used, judged=judged)
    return parts["ema"]


@torch.no_grad()
def _average(averaged: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the averaged network, its floating-point buffers included, towards the network."""
    means = averaged.state_dict()
    for key, value in net.state_dict().items():
        if value.is_floating_point():
            means[key].lerp_(value, 1 - decay)
        else:
            means[key].copy_(value)


def _save(folder: Path, parts: dict, **progress: float) -> None:
    state = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()
    torch.save(state | progress, buffer)
    write_atomically(folder / "checkpoint.pt", buffer.getvalue())


def _restore(folder: Path, parts: dict) -> tuple[int, float, int]:
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return 0, 0.0, 0
    device = next(parts["net"].parameters()).device
    state = torch.load(path, map_location=device, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    step, used, judged = (state[name] for name in ("step", "used", "judged"))
    say(f"{folder.name}: continuing at step {step}, {used / 60:.1f} minutes in")
    return step, used, judged


def _report(folder: Path, budget: Budget, recent: list[dict], *, step: int, used: float) -> None:
    means = {key: float(np.mean([row[key] for row in recent])) for key in recent[0]}
    _append(folder / "loss.csv", {"step": step, "seconds": round(used, 1), **means})
    left = max(0.0, min(60 * budget.minutes - used, (budget.steps - step) * used / step))
    pace = f"{1000 * used / step:.0f} ms/step, {left / 60:.1f} min left"
    say_numbers(f"{folder.name} step {step}, {pace}", means)
    recent.clear()


def _append(path: Path, row: dict[str, float]) -> None:
    is_new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def learning_rate(budget: Budget, *, step: int, done: float) -> float:
    """Compute the learning rate of a step when a share ``done`` in [0, 1] of the budget is used."""
    rate = budget.learning_rate * min(1, (step + 1) / budget.warmup)
    fallen = max(0.0, (done - 1) / budget.decay_share + 1)
    return rate * 0.5 * (1 + math.cos(math.pi * fallen))


class Optimizer:
    """AdamW, and Muon for hidden matrices where the budget asks for it, behind one face.

    A kernel is a matrix to Muon: its output channels by everything that they read. Both take the
    same learning rate, since Muon's steps are scaled to the size of AdamW's.

    Source:
        Jordan et al. 2024, "Muon: an optimizer for hidden layers"; the scale is that of Liu et al.
        2025 (arXiv:2502.16982), section 2.2.
    """

    def __init__(self, net: nn.Module, budget: Budget) -> None:
        named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
        self.hidden = [p for name, p in named if budget.has_muon and _is_hidden_matrix(name, p)]
        ids = {id(p) for p in self.hidden}
        rest = [p for _, p in named if id(p) not in ids]
        groups = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": budget.weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.parts = [torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)]
        if self.hidden:  # views of the same memory: what Muon changes is changed in the network
            self.flat = [nn.Parameter(p.detach().flatten(1)) for p in self.hidden]
            settings = {"weight_decay": budget.weight_decay, "adjust_lr_fn": "match_rms_adamw"}
            self.parts.append(torch.optim.Muon(self.flat, momentum=0.95, **settings))

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in (group for part in self.parts for group in part.param_groups):
            group["lr"] = rate

    def step(self) -> None:
        """Change the network by its gradients."""
        if self.hidden:
            for p, flat in zip(self.hidden, self.flat, strict=True):
                flat.grad = None if p.grad is None else p.grad.flatten(1)
        for part in self.parts:
            part.step()

    def state_dict(self) -> list[dict]:
        """Return what has to be kept for a resumed run."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        """Go on from what was kept."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
        for group in self.parts[0].param_groups:  # as it runs now, not as it was saved
            group["fused"], group["foreach"] = True, None


def _is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Tell a matrix or kernel between hidden layers from embeddings and from both ends."""
    ends = ("embedding", "conv_in", "conv_out")
    return parameter.ndim > 1 and not any(end in name for end in ends)


def step_draws(seed: int, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """Make the generators of one step; they do not depend on the steps before."""
    rng = np.random.default_rng([seed, step])
    return rng, torch.Generator().manual_seed(int(rng.integers(1 << 62)))


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """Compute in bfloat16 where the machine has units for it: a GPU, or a CPU that says so."""
    from torch import cpu

    has_units = device.type != "cpu" or cpu._is_avx512_bf16_supported()
    # a CPU's fused attention takes most of a step to go backward in bfloat16
    plain = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    with plain, torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_units):
        yield
