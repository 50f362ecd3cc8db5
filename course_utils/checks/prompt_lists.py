"""A check of notebook 04 about prompts: a list that favors no class and no template."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from course_utils.checks.results import Hint, check, run

_PHRASES = ("a river", "a forest", "an airport", "a place damaged by wind")
_TEMPLATES = ("a satellite photo of {}.", "{} seen from above.", "an aerial image of {}.")
_CASES = ((_PHRASES, _TEMPLATES, 6), (_PHRASES[:3], _TEMPLATES, 7), (_PHRASES[:2], _TEMPLATES, 2))
_MANY = 1000  # far more prompts than any case asks for


@check("04_ex3")
def check_04_ex3(value: Any) -> None:
    """Check a function that writes a balanced list of prompts.

    ``write_prompts(phrases, templates, per_class) -> (prompts, labels)``: exactly ``per_class``
    prompts a class, each with the number of its class, and within every class each template as
    often as any other, or once more or less where ``per_class`` is no multiple.

    Args:
        value: the function; a template has curly braces where the phrase goes.

    Returns:
        Whether its lists are balanced in three cases, or what went wrong.
    """
    for phrases, templates, per_class in _CASES:
        answer = run(value, list(phrases), list(templates), per_class)
        prompts, labels = _as_lists(answer)
        made = {t.replace("{}", p): (k, t) for k, p in enumerate(phrases) for t in templates}
        _judge_words(prompts, made, phrases)
        _judge_counts(prompts, made, num_classes=len(phrases), per_class=per_class)
        _judge_labels(prompts, labels, made)
        _judge_templates([made[prompt] for prompt in prompts], templates, per_class)


def _as_lists(answer: Any) -> tuple[list[str], list[int]]:
    try:
        if isinstance(answer, str | dict | set):
            raise TypeError
        prompts, labels = (list(islice(part, _MANY)) for part in islice(answer, 3))
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise TypeError
        labels = [_as_label(label) for label in labels]
    except (TypeError, ValueError) as error:
        raise Hint("04_ex3.form") from error
    if len(prompts) != len(labels):
        raise Hint("04_ex3.lengths", prompts=len(prompts), labels=len(labels))
    return prompts, labels


def _as_label(label: Any) -> int:
    if isinstance(label, str) or int(label) != label:
        raise TypeError
    return int(label)


def _judge_words(prompts: list[str], made: dict, phrases: Sequence[str]) -> None:
    unknown = [prompt for prompt in prompts if prompt not in made]
    if not unknown:
        return
    if "{" in unknown[0]:
        raise Hint("04_ex3.braces", prompt=unknown[0])
    if unknown[0] in phrases:
        raise Hint("04_ex3.no_template", prompt=unknown[0])
    raise Hint("04_ex3.unknown", prompt=unknown[0][:80])


def _judge_counts(prompts: list[str], made: dict, *, num_classes: int, per_class: int) -> None:
    counts = Counter(made[prompt][0] for prompt in prompts)
    sizes = {counts[k] for k in range(num_classes)}
    if sizes == {per_class}:
        return
    num_templates = len({template for _, template in made.values()})
    if sizes == {per_class * num_templates}:
        raise Hint("04_ex3.each_template", num=per_class * num_templates, right=per_class)
    if sizes == {num_templates}:
        raise Hint("04_ex3.one_each", num=num_templates, right=per_class)
    if len(prompts) == per_class:
        raise Hint("04_ex3.in_all", num=per_class)
    low, high = min(sizes), max(sizes)
    raise Hint("04_ex3.unbalanced", low=low, high=high, right=per_class)


def _judge_labels(prompts: list[str], labels: list[int], made: dict) -> None:
    truth = [made[prompt][0] for prompt in prompts]
    if labels == truth:
        return
    if labels == [k + 1 for k in truth]:
        raise Hint("04_ex3.from_one")
    pairs = enumerate(zip(labels, truth, strict=True))
    row = next(i for i, (label, right) in pairs if label != right)
    raise Hint("04_ex3.label", prompt=prompts[row], label=labels[row], right=truth[row])


def _judge_templates(
    parts: Sequence[tuple[int, str]], templates: Sequence[str], per_class: int
) -> None:
    by_class: dict[int, Counter] = {}
    for label, template in parts:
        by_class.setdefault(label, Counter())[template] += 1
    used = [{t for t in templates if some[t]} for some in by_class.values()]
    if per_class > 1 and all(len(some) == 1 for some in used):
        raise Hint("04_ex3.one_template" if len(set.union(*used)) == 1 else "04_ex3.lockstep")
    for some in by_class.values():
        counts = [some[template] for template in templates]
        if max(counts) - min(counts) > 1:
            raise Hint("04_ex3.templates", counts=" + ".join(map(str, counts)))
