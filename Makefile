# Every target is the command of the same name: python tools/course.py TARGET
# (Windows has no make: type that line.) Another Python: make lab PYTHON=python3.12
PYTHON ?= python3
TARGETS := setup lab test notebooks jupyter bench lint format clean

.PHONY: help $(TARGETS)
help:
	@$(PYTHON) tools/course.py --help

$(TARGETS):
	@$(PYTHON) tools/course.py $@
