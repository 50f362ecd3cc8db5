"""Distill the small text-to-image model to a few steps without a second, unconditional half.

    python -m tools.distill_text2image --data DATA --work WORK --minutes 15

The student reads the guidance scale as an input, beside the step, so that one evaluation does what
two did, and learns to land in one step where the teacher lands in several. It starts from the
teacher's weights. The stock ``StableDiffusionPipeline`` runs it: a denoiser whose configuration
has ``time_cond_proj_dim`` is told the guidance scale. A killed run goes on where it was when the
same command is given again; ``--export`` only writes the folder.

Source:
    Meng et al. 2023 (arXiv:2210.03142), guidance distillation; Salimans and Ho 2022
    (arXiv:2202.00512), algorithm 2, one round from 16 steps to 4.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn

from course_utils.diffusion import mix, unmix
from tools import train_small_text2image as teaching
from tools import training
from tools.small_text2image import networks, pipeline
from tools.small_text2image.latents import Batches, read_tokenizer, tokenize, training_caches
from tools.training import cards

NUM_STEPS, SUB_STEPS = 4, 4  # the student's steps, and the teacher's within each of them
STEP = 1000 // NUM_STEPS
GUIDANCE = (1.0, 5.0)  # scales that the student learns to follow
EMBEDDING = 64  # width of the guidance embedding
SUFFIX = "_few_steps"


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; what it does not name is as in training the teacher."""
    names = ("minutes", "batch", "learning_rate")
    settings = {"minutes": 15.0, "batch": 32, "learning_rate": 3e-4}
    ours, rest = training.make_parser(__doc__, names, **settings).parse_known_args(argv)
    return argparse.Namespace(**{**vars(teaching.parse(["unet", *rest])), **vars(ours)})


def make_scheduler() -> DDIMScheduler:
    """Make the sampler of the student: the teacher's noise levels, first step in pure noise."""
    config = networks.make_scheduler().config
    return DDIMScheduler(
        num_train_timesteps=config.num_train_timesteps,
        beta_schedule=config.beta_schedule,
        prediction_type=config.prediction_type,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,  # the stock pipeline insists; trailing steps have none
    )


def make_student(teacher: UNet2DConditionModel) -> UNet2DConditionModel:
    """Copy the teacher into a network that is also told the guidance scale, at first deaf to it."""
    with torch.random.fork_rng(devices=[]):
        student = UNet2DConditionModel.from_config(teacher.config, time_cond_proj_dim=EMBEDDING)
    left = student.load_state_dict(teacher.state_dict(), strict=False)
    assert left.missing_keys == ["time_embedding.cond_proj.weight"], left
    nn.init.zeros_(student.time_embedding.cond_proj.weight)
    return student


def embed_guidance(scale: Tensor) -> Tensor:
    """Embed guidance scales as the stock pipeline does."""
    stock = StableDiffusionPipeline
    return stock.get_guidance_scale_embedding(stock, scale - 1, embedding_dim=EMBEDDING)


def ddim_step(x_t: Tensor, v: Tensor, a: Tensor, a_next: Tensor) -> Tensor:
    r"""Step to $\bar\alpha_s$: $\sqrt{\bar\alpha_s}x_0 + \sqrt{1-\bar\alpha_s}\epsilon$."""
    x0, eps = unmix(x_t, v, a.sqrt(), (1 - a).sqrt(), "v")
    return mix(x0, eps, a_next.sqrt(), (1 - a_next).sqrt())


def landing_v(x_t: Tensor, x_s: Tensor, a: Tensor, a_next: Tensor) -> Tensor:
    r"""Find the v with which one DDIM step goes from x_t to x_s.

    In angles, $\bar\alpha = \cos^2\phi$: $x_s = \cos(\phi_t-\phi_s)\,x_t - \sin(\phi_t-\phi_s)\,v$.
    """
    turn = torch.acos(a.sqrt()) - torch.acos(a_next.sqrt())
    return (turn.cos() * x_t - x_s) / turn.sin()


class Guided:
    """The teacher: two halves and the guidance scale, several DDIM steps in each of ours."""

    def __init__(self, drawer: networks.Drawer, empty: Tensor, alpha_bar: Tensor) -> None:
        self.drawer, self.alpha_bar = drawer.eval().requires_grad_(False), alpha_bar
        self.nothing = drawer.text_encoder(empty).last_hidden_state.detach()

    @torch.no_grad()
    def encode(self, tokens: Tensor) -> Tensor:
        """Turn token ids into what both networks read."""
        return self.drawer.text_encoder(tokens).last_hidden_state

    @torch.no_grad()
    def __call__(self, x_t: Tensor, start: Tensor, context: Tensor, scale: Tensor) -> Tensor:
        """Go from step ``start`` (n) a whole student step down, in ``SUB_STEPS`` small ones."""
        both = torch.cat([self.nothing.expand_as(context), context])
        s = scale[:, None, None, None]
        for k in range(SUB_STEPS):
            t, t_next = (start - round(STEP * i / SUB_STEPS) for i in (k, k + 1))
            with training.autocast(x_t.device):
                v = self.drawer.unet(
                    x_t.repeat(2, 1, 1, 1), t.repeat(2), encoder_hidden_states=both
                ).sample.float()
            without, with_text = v.chunk(2)
            v = without + s * (with_text - without)
            x_t = ddim_step(x_t, v, level(self.alpha_bar, t), level(self.alpha_bar, t_next))
        return x_t


def level(alpha_bar: Tensor, t: Tensor) -> Tensor:
    """Look up the signal's share at each step; it is 1 where the way ends, at step -1."""
    return torch.where(t >= 0, alpha_bar[t.clamp(min=0)], 1.0)[:, None, None, None]


def run_folder(args: argparse.Namespace) -> Path:
    """Name the place of the student's checkpoint in WORK."""
    return args.work / (args.name + SUFFIX)


def train_student(args: argparse.Namespace) -> None:
    """Distill into WORK, on the teacher's own cached latents."""
    device = training.training_device(args)
    sources, _ = teaching.load_sources(args)
    tokenizer = read_tokenizer(args)
    teacher = pipeline.read_drawer(args, tokenizer).to(device)
    alpha_bar = make_scheduler().alphas_cumprod.to(device)
    guided = Guided(teacher, tokenize(tokenizer, [""]).to(device), alpha_bar)
    net = make_student(teacher.unet).to(device)
    vae = pipeline.read_autoencoder(args).to(device)
    batches = Batches(training_caches(args, sources, vae), tokenizer, args)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        x0, tokens, generator = batches(step)
        n = len(x0)
        start = STEP * torch.randint(1, NUM_STEPS + 1, (n,), generator=generator) - 1
        scale = torch.empty(n).uniform_(*GUIDANCE, generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        a = level(alpha_bar, start.to(device))
        x_t = mix(x0.to(device), eps.to(device), a.sqrt(), (1 - a).sqrt())
        start, scale = start.to(device), scale.to(device)
        context = guided.encode(tokens.to(device))
        x_s = guided(x_t, start, context, scale)
        v = landing_v(x_t, x_s, a, level(alpha_bar, start - STEP))
        with training.autocast(device):
            told = embed_guidance(scale.cpu()).to(device)
            v_pred = net(x_t, start, encoder_hidden_states=context, timestep_cond=told).sample
        error = (v_pred.float() - v).square().mean(dim=(1, 2, 3))
        return error.mean(), {"v_error": error.mean().item()}

    budget = training.budget_of(args, warmup=50, ema_decay=0.99)
    training.fit(net, loss_at, folder=run_folder(args), budget=budget)


def assemble(args: argparse.Namespace) -> StableDiffusionPipeline:
    """Put the student into the teacher's pipeline, with its own sampler."""
    parts = pipeline.assemble(args).components
    student = make_student(parts["unet"])
    student.load_state_dict(training.read_checkpoint(run_folder(args))["ema"])
    parts |= {"unet": student, "scheduler": make_scheduler()}
    return StableDiffusionPipeline(**parts, requires_safety_checker=False)


def card(args: argparse.Namespace) -> str:
    """Compose the model card."""
    run, name = training.read_checkpoint(run_folder(args)), args.name + SUFFIX
    fields = {"name": name, "teacher": args.name, "batch": args.batch, "guidance": GUIDANCE}
    fields |= {"num_steps": NUM_STEPS, "sub_steps": SUB_STEPS, "steps": run["step"]}
    fields |= {"minutes": run["used"] / 60, "measured": pipeline.measured(args, name)}
    return cards.fill("few_steps", **fields)


def export(args: argparse.Namespace) -> None:
    """Write the pipeline folder, its card, and contact sheets."""
    name = args.name + SUFFIX
    pipeline.write_folder(args, assemble(args), name, card(args), num_steps=NUM_STEPS)


def main(argv: Sequence[str] | None = None) -> None:
    """Distill, and write the folder."""
    training.run_script(parse(argv), train_student, export)


if __name__ == "__main__":
    main()
