"""A small vocabulary in the form of CLIP's tokenizer."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from tools.training import words
from tools.training.files import write_bytes


def tokenizer_in(
    folder: Path, texts: Iterable[str], *, max_length: int, pad_token: str = "<|endoftext|>"
) -> CLIPTokenizer:
    """Read the run's tokenizer, or train it first; a resumed run must keep its words."""
    if not (folder / "merges.txt").is_file():  # written last
        sizes = {"vocab_size": 3000, "max_length": max_length}
        train_tokenizer(texts, folder, **sizes, pad_token=pad_token)
    return CLIPTokenizer.from_pretrained(folder)


def train_tokenizer(
    texts: Iterable[str],
    folder: Path,
    *,
    vocab_size: int,
    max_length: int,
    pad_token: str = "<|endoftext|>",
) -> CLIPTokenizer:
    """Learn a small byte-level BPE in the form of CLIP's tokenizer and save it.

    The two special tokens come last, as in CLIP: open_clip pools at the highest token id.

    Args:
        texts: what to learn from, beside the word list of ``words``.
        folder: where the tokenizer files go; ``open_clip`` and ``transformers`` read them there.
        vocab_size: tokens at most.
        max_length: tokens of a caption, the two special ones included.
        pad_token: fills short captions; one that must learn when to end needs another than CLIP's.
    """
    alphabet = sorted(ByteLevel.alphabet())
    draft = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    blank = CLIPTokenizer(vocab={c: i for i, c in enumerate(alphabet)}).backend_tokenizer
    draft.normalizer, draft.pre_tokenizer = blank.normalizer, blank.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 258,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    draft.train_from_iterator([*texts, *([" ".join(words.VOCABULARY)] * 3)], trainer)
    merges = [tuple(pair) for pair in json.loads(draft.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=merges,
        model_max_length=max_length,
        pad_token=pad_token,
    )
    tokenizer.save_pretrained(folder)
    vocab = json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False)
    write_bytes(folder / "vocab.json", vocab.encode())
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    write_bytes(folder / "merges.txt", ("\n".join(lines) + "\n").encode())
    return tokenizer
