"""Texts: complete in English, consistent between languages, and loud about a wrong key."""

import pytest

from course_utils import runtime, texts


def test_the_language_follows_the_variable_and_is_english_by_default(monkeypatch):
    assert texts.text("verdict.helped") == "helped"
    monkeypatch.setenv("COURSE_LANG", "zh")
    assert texts.text("verdict.helped") == "有帮助"
    monkeypatch.setenv("COURSE_LANG", "")
    assert texts.text("verdict.helped") == "helped"


def test_an_unknown_language_raises_and_lists_the_known_ones(monkeypatch):
    monkeypatch.setenv("COURSE_LANG", "fr")
    with pytest.raises(ValueError, match=r"COURSE_LANG='fr'.*'en', 'zh'"):
        texts.text("verdict.helped")


def test_an_unknown_key_names_close_keys():
    with pytest.raises(KeyError, match=r"no text 'verdict.help'; .* verdict\.helped"):
        texts.text("verdict.help")


def test_values_fill_the_braces_and_a_missing_one_is_named():
    assert "a.jpg" in texts.text("skipped.link", file="a.jpg")
    with pytest.raises(KeyError, match=r"'skipped\.same_in_class' needs a value for file, first"):
        texts.text("skipped.same_in_class")


def test_a_value_may_be_called_anything_and_hold_braces():
    assert "{x}" in texts.text("skipped.link", file="{x}")


def test_a_string_missing_in_a_language_is_shown_in_english(monkeypatch):
    monkeypatch.setitem(texts.catalog(), "only", {"en": "only English"})
    monkeypatch.setenv("COURSE_LANG", "zh")
    assert texts.text("only") == "only English"


def test_every_text_has_english_and_the_same_braces_in_every_language():
    for key, patterns in texts.catalog().items():
        assert patterns["en"], key
        assert set(patterns) <= set(runtime.LANGUAGES), key
        assert len({frozenset(texts.placeholders(p)) for p in patterns.values()}) == 1, key
