"""A small vocabulary in the form of CLIP's tokenizer."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import CLIPTokenizer

from course_utils.runtime import write_atomically
from tools.training import words

VOCAB_SIZE = 3000
PAD = "<|endoftext|>"  # as in CLIP; a model that must learn when to end needs another


def tokenizer_in(
    folder: Path, texts: Iterable[str], *, max_length: int, pad_token: str = PAD
) -> CLIPTokenizer:
    """Read the run's tokenizer, or train it first; a resumed run must keep its words."""
    if not (folder / "merges.txt").is_file():  # written last
        _train_tokenizer(texts, folder, max_length=max_length, pad_token=pad_token)
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def tokenize(
    tokenizer: CLIPTokenizer, texts: Sequence[str], *, max_length: int | None = None
) -> Tensor:
    """Encode texts as ``open_clip`` and the stock pipeline do with this tokenizer."""
    length = max_length or tokenizer.model_max_length
    settings = {"padding": "max_length", "truncation": True, "max_length": length}
    return tokenizer(list(texts), return_tensors="pt", **settings).input_ids


def _train_tokenizer(
    texts: Iterable[str], folder: Path, *, max_length: int, pad_token: str
) -> None:
    """Learn a small byte-level BPE in the form of CLIP's tokenizer and save it.

    It learns from the texts and from the word list of ``words``. The two special tokens come last,
    as in CLIP: open_clip pools at the highest token id.
    """
    alphabet = sorted(ByteLevel.alphabet())
    draft = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    blank = CLIPTokenizer(vocab={c: i for i, c in enumerate(alphabet)}).backend_tokenizer
    draft.normalizer, draft.pre_tokenizer = blank.normalizer, blank.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - 258,
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
    write_atomically(folder / "vocab.json", vocab.encode())
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    write_atomically(folder / "merges.txt", ("\n".join(lines) + "\n").encode())
