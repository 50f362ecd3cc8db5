"""Every learner-visible string that comes from code, by key and language.

A string is a `str.format` pattern. English is complete; where another language lacks a string, the
English one is shown. Exceptions stay English, next to the code that raises them.
"""

import difflib
import os
import string

LANGUAGES = ("en", "zh")

TEXTS: dict[str, dict[str, str]] = {
    "verdict.helped": {"en": "helped", "zh": "有帮助"},
    "verdict.hurt": {"en": "hurt", "zh": "有损害"},
    "verdict.cannot tell": {"en": "cannot tell", "zh": "无法判断"},
    "skipped.unreadable": {"en": "{error}", "zh": "无法使用的图像：{error}"},
    "skipped.not_opened": {
        "en": "{file}: could not be opened ({reason})",
        "zh": "{file}：无法打开（{reason}）",
    },
    "skipped.same_in_class": {
        "en": "{file}: the same file as {first}, kept once",
        "zh": "{file}：与 {first} 相同，只保留一份",
    },
    "skipped.same_across_classes": {
        "en": "{files}: the same file in several classes, so none is kept",
        "zh": "{files}：同一文件出现在多个类别中，全部不用",
    },
    "skipped.link": {
        "en": "{file}: a link to a folder or out of the data folder, not followed",
        "zh": "{file}：指向文件夹或数据目录之外的链接，未跟随",
    },
    "skipped.no_class": {
        "en": "{file}: lies beside the class folders, so it has no class",
        "zh": "{file}：位于类别文件夹之外，没有类别",
    },
    "stand_in": {
        "en": "{name} is not here; {stand_in} stands in for it",
        "zh": "缺少 {name}，由 {stand_in} 代替",
    },
}


def text(key: str, **values: object) -> str:
    """Give a string in the language of ``COURSE_LANG`` (``en`` by default).

    Args:
        key: a key of `TEXTS`.
        values: what to put into the braces of the string.

    Raises:
        KeyError: there is no such key, or a value for a pair of braces is missing.
        ValueError: ``COURSE_LANG`` is no language of the course.
    """
    language = os.environ.get("COURSE_LANG") or LANGUAGES[0]
    if language not in LANGUAGES:
        raise ValueError(f"COURSE_LANG={language!r} is unknown; set it to one of {LANGUAGES}")
    if key not in TEXTS:
        close = difflib.get_close_matches(key, TEXTS, cutoff=0.4) or sorted(TEXTS)
        raise KeyError(f"no text {key!r}; the closest keys are {', '.join(close)}")
    pattern = TEXTS[key].get(language, TEXTS[key]["en"])
    missing = placeholders(pattern) - values.keys()
    if missing:
        raise KeyError(f"text {key!r} needs a value for {', '.join(sorted(missing))}")
    return pattern.format(**values)


def placeholders(pattern: str) -> set[str]:
    """List the names in the braces of a `str.format` pattern."""
    return {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
