"""The line of models: bodies that give features, their cost counted by hand, what stands in."""

import pytest
import torch

from course_utils import zero_shot
from course_utils.zero_shot import count_cost, model_line

pytestmark = pytest.mark.changes_random_state  # weights are drawn as the libraries do
LINE = model_line()
# as the libraries document them
MILLIONS = {"AlexNet": 61.10084, "ResNet": 25.557032, "ViT": 86.567656, "Swin": 28.288354}


def test_the_line_goes_from_alexnet_to_coca():
    assert list(LINE) == ["AlexNet", "ResNet", "ViT", "Swin", "CLIP-ViT", "MAE-ViT", "CoCa-ViT"]


@pytest.mark.parametrize("name", LINE)
def test_a_small_body_gives_one_row_of_features_for_each_image_of_64_pixels(name):
    torch.manual_seed(0)
    body, x = LINE[name].small().eval(), torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        features, turned = body(x), body(x.flip(0))
    assert features.ndim == 2
    assert features.isfinite().all()
    assert features.std(dim=0).max() > 1e-4, "all images look alike"
    torch.testing.assert_close(turned, features.flip(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MILLIONS)
def test_published_networks_have_as_many_weights_as_their_libraries_say(name):
    assert count_cost(LINE[name].real, 224)[0] == pytest.approx(1e6 * MILLIONS[name], abs=0.5)


def test_the_work_of_a_vision_transformer_is_what_one_counts_by_hand():
    tokens, d, layers, pixels = 14**2 + 1, 768, 12, 3 * 16**2
    projections = 4 * tokens * d**2  # queries, keys, values, output
    attention = 2 * tokens**2 * d
    mlp = 2 * tokens * d * 4 * d
    by_hand = layers * (projections + attention + mlp) + (tokens - 1) * pixels * d + d * 1000
    assert count_cost(LINE["ViT"].real, 224)[1] == 2 * by_hand


def test_counting_a_convolution_agrees_with_the_formula():
    def make() -> torch.nn.Module:
        return torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)

    assert count_cost(make, 8) == (3 * 5 * 9 + 5, 2 * 4 * 4 * 3 * 5 * 9)


@pytest.mark.parametrize("name", ["CLIP-ViT", "MAE-ViT", "CoCa-ViT"])
def test_what_stands_in_for_published_weights_was_trained_at_64_pixels(name):
    body = LINE[name].trained().eval()
    assert body.side == 64
    with torch.no_grad():
        assert body(torch.randn(2, 3, 64, 64)).ndim == 2


def test_the_trained_clip_is_the_tower_that_load_clip_loads():
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    tower = zero_shot.load_clip("small_clip", device="cpu").net.visual
    with torch.no_grad():
        torch.testing.assert_close(LINE["CLIP-ViT"].trained().eval()(x), tower(x))
