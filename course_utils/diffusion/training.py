"""Train a denoiser, one record a step: the caller decides what to show and when to stop."""

import copy
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from course_utils.diffusion.inputs import (
    check_choice,
    check_number,
    check_range,
    check_tensors,
    is_finite,
)
from course_utils.diffusion.process import Weighting, noise_and_judge
from course_utils.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True)
class TrainConfig:
    """How a denoiser is trained; everything that decides about the result but data and seed."""

    num_steps: int = 1000
    learning_rate: float = 1e-3  # at its highest; small nets stand more than Ho et al.'s 2e-4
    warm_up_share: float = 0.05  # of the steps, in which the learning rate rises to that
    ema_decay: float = 0.999  # of the averaged weights: Ema(net, config.ema_decay)
    label_dropout: float = 0.1  # share of labels hidden, so that guidance has an "uncond"
    weighting: Weighting | None = None  # of the steps t, see eps_loss
    grad_clip: float | None = 1.0  # longest gradient; None for no limit
    fast: bool | None = None  # mixed precision, channels last, compiled; None: where a GPU is

    def __post_init__(self) -> None:
        """Refuse settings that train nothing, or by a number that is no share."""
        check_number("num_steps", self.num_steps, "[1, inf)", whole=True)
        check_number("learning_rate", self.learning_rate, "(0, inf)")
        if self.grad_clip is not None:
            check_number("grad_clip", self.grad_clip, "(0, inf)", hint=" or None")
        check_number("warm_up_share", self.warm_up_share, "[0, 1]")
        check_number("label_dropout", self.label_dropout, "[0, 1]")
        check_number("ema_decay", self.ema_decay, "[0, 1)")
        check_choice("weighting", self.weighting, (None, "min_snr"))


@dataclass(frozen=True)
class TrainStep:
    """One step of the optimizer."""

    step: int  # 0 … num_steps - 1
    loss: float  # on this step's batch, before the step
    learning_rate: float
    seconds: float  # that training took so far; what the caller did in between not counted


class Ema:
    r"""Keep an exponential moving average of a net's weights, which draws better than the last.

    $$\bar\theta \leftarrow d_i\,\bar\theta + (1 - d_i)\,\theta, \quad
    d_i = \min\left(d,\ \frac{1+i}{10+i}\right)$$

    where i counts the updates from 1. The small $d_i$ at the beginning let go of the random
    weights that the average starts from.

    Attributes:
        net: a copy of the net in eval mode, without gradients: what samples are drawn with.
        decay: d.
        num_updates: how often ``update_`` was called.

    Raises:
        ValueError: a decay that is not in [0, 1).

    Source:
        Ho et al. 2020 (arXiv:2006.11239), appendix B (d = 0.9999 over 800,000 steps); the warm-up
        is that of TensorFlow's ExponentialMovingAverage with ``num_updates``.
    """

    def __init__(self, net: nn.Module, decay: float = 0.999) -> None:
        check_number("decay", decay, "[0, 1)", hint=", such as 0.999")
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self.decay, self.num_updates = decay, 0

    @torch.no_grad()
    def update_(self, net: nn.Module) -> None:
        """Move the average a little towards a net; counters and the like are copied.

        Args:
            net: the net in training, with the weights' names and shapes of the first one.

        Raises:
            ValueError: a net with other weights.
        """
        mine, new = list(self.net.parameters()), list(net.parameters())
        if [p.shape for p in mine] != [p.shape for p in new]:
            raise ValueError("net: expected the net that the average began with, got other weights")
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        torch._foreach_lerp_(mine, new, 1 - decay)
        for kept, buffer in zip(self.net.buffers(), net.buffers(), strict=True):
            kept.copy_(buffer)


def shuffled_batches(
    x0: Float[Tensor, " n *shape"],
    labels: Shaped[Tensor, " n *d"] | None,
    *,
    batch_size: int,
    generator: torch.Generator,
) -> Iterator[tuple[Float[Tensor, " b *shape"], Shaped[Tensor, " b *d"] | None]]:
    """Go through images again and again, each time in a new order.

    All batches have the same size: one that begins at the end of an epoch goes on in the next, so
    every image is seen once before any is seen again.

    Args:
        x0: clean images.
        labels: what belongs to each image, one integer or one vector; None if nothing does.
        batch_size: images a batch; may be more than there are.
        generator: draws the orders.

    Returns:
        An endless iterator over (x0, labels).

    Raises:
        ValueError: no images, another number of labels, or a batch size under 1.
    """
    check_number("batch_size", batch_size, "[1, inf)", whole=True)
    if not len(x0) or (labels is not None and len(labels) != len(x0)):
        raise ValueError(f"expected an image or more, a label each, got {_sizes(x0, labels)}")

    def batches() -> Iterator[tuple[Tensor, Tensor | None]]:
        order = torch.empty(0, dtype=torch.int64, device=generator.device)
        while True:
            while len(order) < batch_size:
                epoch = torch.randperm(len(x0), generator=generator, device=generator.device)
                order = torch.cat([order, epoch])
            rows, order = order[:batch_size], order[batch_size:]
            yield x0[rows.to(x0.device)], None if labels is None else labels[rows.to(labels.device)]

    return batches()


def train_denoiser(
    net: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor | None]],
    schedule: NoiseSchedule,
    config: TrainConfig,
    *,
    generator: torch.Generator,
    ema: Ema | None = None,
) -> Iterator[TrainStep]:
    r"""Train a net to name the noise: minimize ``eps_loss`` with Adam.

    $$\theta \leftarrow \theta - \mathrm{Adam}(\nabla_\theta\, w_t \lVert \epsilon
    - \epsilon_\theta(\sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon,\ t) \rVert^2)$$

    The learning rate rises linearly, then falls to zero along half a cosine. The net is in train
    mode during training, and in eval mode once the last record is out, or the loop was left. It
    may be left at any step: net and ``ema`` are whole between steps.

    Args:
        net: ``net(x_t, t)``, or ``net(x_t, t, labels)`` where batches have labels; changed in
            place. To hide integer labels it needs ``net.null_label``; vectors are hidden as zeros.
        batches: pairs of clean images and labels (or None), at least ``config.num_steps`` of them;
            brought to the net's device and dtype.
        schedule: the noise schedule, the one to sample with.
        config: steps, learning rate and so on.
        generator: draws t, ε and which labels to hide, in this order, on its own device. One on
            the GPU saves the way from the CPU, but draws other numbers.
        ema: an ``Ema`` of the net, updated after each step.

    Returns:
        An iterator that takes a step for each record asked for.

    Raises:
        ValueError: at the call, for a net without weights to train; on the way, when batches end
            or are no pairs, images are not in [-1, 1] but 0 … 255, labels cannot be hidden, or
            the loss is not finite (the net then has the weights from before that step).

    Source:
        Ho et al. 2020 (arXiv:2006.11239), algorithm 1; hidden labels: Ho and Salimans 2022
        (arXiv:2207.12598), algorithm 1.
    """
    if not any(p.requires_grad for p in net.parameters()):
        raise ValueError("net: expected weights to train, but none requires a gradient")
    return _steps(_Trainer(net, schedule, config, generator), iter(batches), ema)


def learning_rate_at(step: int, config: TrainConfig) -> float:
    r"""Say how fast to learn at a step i of N, w of them to warm up.

    $$r_i = r\,\frac{i+1}{w} \text{ for } i < w, \quad
    r_i = \frac r2 \left(1 + \cos\left(\pi \frac{i-w}{N-w}\right)\right) \text{ else}$$

    Source:
        Loshchilov and Hutter 2017 (arXiv:1608.03983), eq. 5, with one period.
    """
    warm_up = round(config.warm_up_share * config.num_steps)
    if step < warm_up:
        return config.learning_rate * (step + 1) / warm_up
    done = (step - warm_up) / (config.num_steps - warm_up)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _steps(
    trainer: "_Trainer", batches: Iterator[tuple[Tensor, Tensor | None]], ema: Ema | None
) -> Iterator[TrainStep]:
    net, config, seconds = trainer.net, trainer.config, 0.0
    try:
        for step in range(config.num_steps):
            began = time.perf_counter()
            if not net.training:  # at first, and when the caller has drawn samples in between
                net.train()
            rate = learning_rate_at(step, config)
            loss = trainer.take(step, rate, *_next_pair(batches, step, config.num_steps))
            if ema is not None:
                ema.update_(net)
            seconds += time.perf_counter() - began
            yield TrainStep(step, loss, rate, seconds)
    finally:
        trainer.optimizer.zero_grad()
        net.eval()


def _next_pair(batches: Iterator[Any], step: int, num_steps: int) -> tuple[Tensor, Tensor | None]:
    batch = next(batches, None)
    if batch is None:
        raise ValueError(
            f"batches: ended after {step} of {num_steps} steps; shuffled_batches has no end"
        )
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(
            "batches: expected pairs (x0, labels), with None where there are no labels, got "
            f"{type(batch).__name__}"
        )
    x0, labels = batch
    check_tensors(values=False, x0=x0)
    check_range(x0=x0)
    if not len(x0) or (labels is not None and len(labels) != len(x0)):
        raise ValueError(f"batches: got {_sizes(x0, labels)} at step {step}")
    return x0, labels


def _sizes(x0: Tensor, labels: Tensor | None) -> str:
    return f"{len(x0)} images with {'no' if labels is None else len(labels)} labels"


class _Trainer:
    """A net with all that one step of its training needs."""

    def __init__(
        self,
        net: nn.Module,
        schedule: NoiseSchedule,
        config: TrainConfig,
        generator: torch.Generator,
    ) -> None:
        self.net, self.schedule, self.config, self.generator = net, schedule, config, generator
        self.parameters = [p for p in net.parameters() if p.requires_grad]
        self.device, self.dtype = self.parameters[0].device, self.parameters[0].dtype
        on_gpu = self.device.type == "cuda"
        self.is_fast = on_gpu if config.fast is None else config.fast
        self.predict = torch.compile(net) if self.is_fast else net
        # a GPU before Ampere has no bfloat16, and float16 needs gradients scaled into its range
        is_old = on_gpu and torch.cuda.get_device_capability(self.device)[0] < 8
        self.half = torch.float16 if is_old else torch.bfloat16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.is_fast and is_old)
        fused = self.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(self.parameters, config.learning_rate, fused=fused)

    def take(self, step: int, rate: float, x0: Tensor, labels: Tensor | None) -> float:
        """Take one step, unless the loss is not finite."""
        x0 = x0.to(self.device, self.dtype, non_blocking=True)
        if self.is_fast and x0.dim() == 4:
            x0 = x0.contiguous(memory_format=torch.channels_last)
        loss = self._loss(x0, labels)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        value = loss.item()
        if not math.isfinite(value):
            raise ValueError(_explain(value, step, rate, x0))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.config.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value

    @torch.enable_grad()
    def _loss(self, x0: Tensor, labels: Tensor | None) -> Tensor:
        def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
            given = () if labels is None else (self._hide(labels),)
            with self._precision():
                return self.predict(x_t, t, *given)

        return noise_and_judge(
            denoiser,
            x0,
            self.schedule,
            generator=self.generator,
            weighting=self.config.weighting,
        )

    def _precision(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, self.half) if self.is_fast else nullcontext()

    def _hide(self, labels: Tensor) -> Tensor:
        """Replace some labels by the one that means none."""
        dtype = self.dtype if labels.is_floating_point() else labels.dtype
        labels, share = labels.to(self.device, dtype), self.config.label_dropout
        if not share:
            return labels
        null = 0.0 if labels.is_floating_point() else getattr(self.net, "null_label", None)
        if null is None:
            raise ValueError(
                "net: to hide labels it needs a null_label, the number of classes; or set "
                "label_dropout=0"
            )
        place = self.generator.device
        drawn = torch.rand(len(labels), generator=self.generator, device=place)
        hidden = (drawn < share).to(self.device).view(-1, *[1] * (labels.dim() - 1))
        return torch.where(hidden, null, labels)


def _explain(loss: float, step: int, rate: float, x0: Tensor) -> str:
    cause = (
        f"the data are finite, so try a lower learning_rate (it is {rate:.3g}) or a grad_clip"
        if is_finite(x0)
        else "the batch has NaN or infinity in it"
    )
    return f"expected a finite loss, got {loss} at step {step}: {cause}"
