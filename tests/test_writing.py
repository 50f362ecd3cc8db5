"""A language model as a writer of sentences: a tiny T5 with random weights."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import T5Config, T5ForConditionalGeneration, T5TokenizerFast

from course_utils.runtime import seeded
from course_utils.zero_shot import load_writer

WORDS = ["river", "forest", "sea", "flows", "green", "wide", "through", "land"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("models") / "tiny_t5"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0)]
    pieces += [(f"▁{word}", -1.0 - i) for i, word in enumerate(WORDS)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = T5TokenizerFast(tokenizer_object=backend, extra_ids=0)
    tokenizer.save_pretrained(root)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        T5ForConditionalGeneration(config).save_pretrained(root)
    return root


def test_a_writer_draws_different_sentences_from_its_generator(folder):
    write = load_writer(str(folder), device="cpu")
    one, same, other = (write("river", 6, generator=seeded(seed)) for seed in (0, 0, 1))
    assert one == same != other
    assert 0 < len(one) <= 6
    assert len(set(one)) == len(one)


def test_without_the_model_there_is_no_writer():
    assert load_writer() is None


def test_a_pickle_is_no_writer(folder, tmp_path):
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.warns(UserWarning, match="is not at hand .* captions"):
        assert load_writer(str(tmp_path), remote=True) is None
