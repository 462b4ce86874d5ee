"""Shows that the check finds what it should, at its line, and leaves code alone."""

import unittest

import words

COMMENTS = {
    "rs": ["// {}", "/// {}", "//! {}", "/* {} */"],
    "c": ["// {}", "/* {} */", "/**\n * {}\n */"],
    "cc": ["// {}", "/* {} */"],
    "hpp": ["/// {}", "/// @return {}"],
    "go": ["// {}", "/* {} */"],
    "py": ["# {}", '"""{}"""', "'''{}'''"],
    "ts": ["// {}", "/** {} */"],
    "js": ["// {}"],
    "java": ["// {}", "/** {} */"],
    "lua": ["-- {}", "--- {}", "--[[ {} ]]"],
    "sh": ["# {}"],
    "mk": ["# {}", "target: ## {}"],
    "Makefile": ["# {}"],
    "yml": ["# {}", "key: value # {}"],
    "toml": ["# {}"],
    "xml": ["<!-- {} -->"],
    "wat": [";; {}"],
    "md": ["{}", "- {}", "| a | {} |", "# {}"],
}
STRINGS = {
    "rs": ['f("{}");', 'f(r#"{}"#);', 'f("a \\" {}");', 'f(\'"\', "{}")'],
    "c": ['f("{}");', 'f(\'"\', "{}");'],
    "cc": ['f(R"({})");'],
    "go": ['f("{}")', "f(`{}`)"],
    "py": ['f("{}")', "f('{}')", 'f("""\n{}""")'],
    "ts": ["f('{}');", "f(`{}`);"],
    "java": ['f("{}");'],
    "lua": ["f('{}')"],
    "sh": ['echo "{}"', "echo '{}'"],
    "schema.json": ['{{"description": "{}"}}'],
}
CODE = {
    "rs": ["let alone = 1;", "fn nobody_is_anew<'a>(anew: &'a str) {}", "// `alone`", '"alone"'],
    "c": ["int alone;", "/* `alone` */"],
    "py": ["alone = {'anew': 1}", "def alone(): pass"],
    "lua": ["local alone = 1"],
    "sh": ["alone=$#", "alone --anew"],
    "md": ["`alone`", "```text\nalone\n```", "[a](alone.md)", "stand-alone"],
}


def found(name, text):
    return words.check(text, f"some/file.{name}" if name != "Makefile" else name)


class Words(unittest.TestCase):
    def test_every_word_is_found_in_every_place(self):
        for places in (COMMENTS, STRINGS):
            for name, forms in places.items():
                for form in forms:
                    for refused, better in words.rules()[2].items():
                        text = "\n" + form.format(f"See: {refused.upper()} here.")
                        with self.subTest(text=text):
                            line = 2 + text[1:].lower().split(refused)[0].count("\n")
                            self.assertEqual(found(name, text), [(line, f"{refused.upper()}: {better}")])

    def test_a_word_is_found_across_the_end_of_a_line(self):
        for name, text in [
            ("rs", "/// It goes\n/// back."),
            ("c", "/* It goes\n * back. */"),
            ("py", "# It goes\n# back."),
            ("lua", "-- It goes\n-- back."),
            ("md", "It goes\nback."),
        ]:
            self.assertEqual(found(name, text), [(1, "goes back: is returned, returns")], name)

    def test_code_is_left_alone(self):
        for name, texts in CODE.items():
            for text in texts:
                self.assertEqual(found(name, text), [], text)

    def test_code_hides_no_prose_behind_it(self):
        for name, text in [
            ("py", 'x = "a <b"\n# anew\ny = "c> d"\n'),
            ("rs", "let x = 1 <2; // a `b\n/// anew\nlet y = 3 >2; // c` d\n"),
            ("md", "a [b] [c\nanew] <d\nanew>"),
        ]:
            self.assertGreaterEqual(len(found(name, text)), 1, text)

    def test_an_excepted_phrase_is_left_alone(self):
        self.assertEqual(found("rs", "// This is left\n// alone.\n"), [])

    def test_comments_open_with_a_verb_or_a_noun(self):
        for opening in ("What", "Whether", "Where", "How"):
            text = f"// Fine: {opening} not.\n\n/// {opening} it is.\n/// {opening} more.\nfn a() {{}}\n"
            self.assertEqual(found("rs", text), [(3, f"{opening}: open with a verb or a noun")])
            self.assertEqual(len(found("py", f'def f():\n    """{opening} it is."""\n')), 1)
            self.assertEqual(len(found("lua", f"local a = 1 -- {opening} it is.\n")), 1)
        self.assertEqual(found("rs", "// What is it? This.\n"), [])

    def test_prose_is_at_most_100_wide_and_code_120(self):
        words_ = "ab " * 32
        for name, mark in [
            ("rs", "// "),
            ("md", "- ."),
            ("py", "#  "),
            ("sh", "#  "),
            ("lua", "-- "),
        ]:
            fits = "\n" + mark + words_ + "a"
            self.assertEqual(len(fits), 101)
            self.assertEqual(found(name, fits), [], name)
            self.assertEqual(found(name, fits + "b"), [(2, "101 columns: at most 100")], name)
        self.assertEqual(found("py", f'def f():\n    """{words_}"""\n'), [(2, "106 columns: at most 100")])
        for name in ("rs", "py", "go", "lua", "mk"):
            fits = "f(" + "a, " * 39
            self.assertEqual(found(name, fits + ")"), [])
            self.assertEqual(found(name, fits + "a)"), [(1, "121 columns: at most 120")])
        for text in (f"| {words_}ab |", f"    {words_}", f"```\n{words_} abcd\n```"):
            self.assertEqual(found("md", text), [])
        self.assertEqual(found("rs", f"// {words_}https://example.com"), [])
        self.assertEqual(found("rs", "// " + "x" * 98), [])

    def test_generated_files_are_left_alone(self):
        text = "// Code generated by make bindings. DO NOT EDIT.\n// What is alone.\n"
        self.assertEqual(found("go", text), [])


if __name__ == "__main__":
    unittest.main(argv=["test_words.py", "--quiet"])
