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


class _Ema:
    """A running mean of a network, its floating-point buffers included: what ships."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net, self.decay = copy.deepcopy(net).requires_grad_(False).eval(), decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Move towards the network; faster at the start, to forget the first weights."""
        rate, averaged = 1 - min(self.decay, (1 + step) / (10 + step)), self.net.state_dict()
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                averaged[key].lerp_(value, rate)
            else:
                averaged[key].copy_(value)


@dataclass
class _Run:
    """What is kept of a run, so that it can go on."""

    folder: Path
    net: nn.Module
    ema: _Ema
    optimizer: "Optimizer"
    step: int = 0
    used: float = 0.0  # seconds
    judged: int = 0  # fifths of the budget after which it was evaluated

    def save(self) -> None:
        """Write ``checkpoint.pt`` whole or not at all."""
        state = {"net": self.net.state_dict(), "ema": self.ema.net.state_dict()}
        state |= {"optimizer": self.optimizer.state_dict(), "step": self.step}
        state |= {"used": self.used, "judged": self.judged}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.folder / "checkpoint.pt", buffer.getvalue())

    def restore(self) -> None:
        """Go on where the last checkpoint is, if there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return
        device = next(self.net.parameters()).device
        state = torch.load(path, map_location=device, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.ema.net.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.used, self.judged = (state[k] for k in ("step", "used", "judged"))
        minutes = self.used / 60
        say(f"{self.folder.name}: continuing at step {self.step}, {minutes:.1f} minutes in")

    def report(self, budget: Budget, recent: list[dict]) -> None:
        """Log the means of the last steps' numbers, and say how much time is left."""
        means = {key: float(np.mean([row[key] for row in recent])) for key in recent[0]}
        row = {"step": self.step, "seconds": round(self.used, 1), **means}
        _append(self.folder / "loss.csv", row)
        pace = self.used / self.step
        left = min(60 * budget.minutes - self.used, (budget.steps - self.step) * pace)
        times = f"{1000 * pace:.0f} ms/step, {max(0.0, left) / 60:.1f} min left"
        say_numbers(f"{self.folder.name} step {self.step}, {times}", means)


def fit(
    net: nn.Module,
    loss_at: Callable[[int], tuple[Tensor, dict[str, float]]],
    *,
    folder: Path,
    budget: Budget,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
) -> nn.Module:
    """Train ``net`` until the budget is used, from the last checkpoint in ``folder`` if any.

    Args:
        net: on its device.
        loss_at: from the step's number to (loss, further numbers to log); everything that it
            draws must follow from the step, so that a resumed run sees what it would have seen.
        folder: for ``checkpoint.pt``, ``loss.csv`` and ``validation.csv``.
        budget: when to end and how fast to learn.
        evaluate: from the averaged network to numbers; called at each fifth of the budget.

    Returns:
        The network with averaged weights, in eval mode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = Optimizer(net, budget)
    run = _Run(folder, net, _Ema(net, budget.ema_decay), optimizer)
    run.restore()
    began, saved, printed, recent = time.monotonic() - run.used, run.used, run.used, []
    net.train()
    while (done := max(run.step / budget.steps, run.used / (60 * budget.minutes))) < 1:
        optimizer.set_learning_rate(learning_rate(budget, step=run.step, done=done))
        loss, extra = loss_at(run.step)
        if not torch.isfinite(loss):
            what = f"the loss is {loss.item()} at step {run.step}"
            raise RuntimeError(f"{what}; lower --learning-rate")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        run.step += 1
        run.ema.update(net, run.step)
        run.used = time.monotonic() - began
        recent.append({"loss": loss.item(), **extra})
        if run.used - printed > budget.print_every or run.step == budget.steps:
            printed = run.used
            run.report(budget, recent)
            recent.clear()
        if evaluate and int(5 * done) > run.judged:
            run.judged, numbers = int(5 * done), evaluate(run.ema.net)
            say_numbers(f"{folder.name} validation", numbers)
            _append(folder / "validation.csv", {"step": run.step, **numbers})
        if run.used - saved > budget.save_every:
            saved = run.used
            run.save()
    run.save()
    return run.ema.net


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
        self.hidden = [p for name, p in named if budget.has_muon and is_hidden_matrix(name, p)]
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

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.parts[0].zero_grad(set_to_none=True)
        for p in self.hidden:
            p.grad = None

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


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Tell a matrix or kernel between hidden layers from embeddings and from both ends."""
    ends = ("embedding", "conv_in", "conv_out")
    return parameter.ndim > 1 and not any(end in name for end in ends)


def _append(path: Path, row: dict[str, float]) -> None:
    is_new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


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
