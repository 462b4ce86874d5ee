# The words that STYLE.md does without, and the width of lines.

.PHONY: words
words: ## plain words, and short lines; PATHS='a b' checks only these
	@$(PYTHON) checks/words/test_words.py
	@$(PYTHON) checks/words/words.py $(PATHS)
