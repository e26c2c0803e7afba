"""The table of rules: each has a true case, a text that a person can use, and a code of its own."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.loader.scene import Scene, Unavailable
from tests.rules.cases import CASES
from tests.rules.golden import golden, kept, text_of
from tests.rules.stage import Answer, RuleCase, clear, put
from tests.support.build import Compiler
from tests.support.here import is_glibc_x86_64
from tests.support.tensorflow_copy import TensorFlowCopy
from tfguard.rules import ALL, RULES, explain, told
from tfguard.rules.rule import Rule

on_this_machine = pytest.mark.skipif(not is_glibc_x86_64(), reason="the cases are files for glibc on x86-64")

# What the hundreds of a code say: a file and the machine, a needed library, its versions, the installation, symbols,
# the processor and the process, the guard.
FAMILIES = {
    "1": ("machine", "file", "content", "mapping"),
    "2": ("needed", "musl"),
    "3": ("version",),
    "4": ("installation", "requirements", "plugin"),
    "5": ("symbol",),
    "6": ("processor", "gpu", "gpu_driver"),
    "7": ("process",),
    "8": ("macos", "macos_needed"),
    "9": ("guarding",),
}


@pytest.fixture(scope="session")
def ask(compiler: Compiler, tmp_path_factory: pytest.TempPathFactory) -> Callable[[RuleCase], Answer]:
    """Puts a case to tfguard and to the real loader, once for all tests of it."""
    answers: dict[str, Answer] = {}

    def ask_once(case: RuleCase) -> Answer:
        if case.id not in answers:
            root = tmp_path_factory.mktemp("rule").resolve()
            for folder in (root, *root.parents[:2]):
                folder.chmod(0o755)
            try:
                answers[case.id] = put(case.lay_out(Scene(root=root, compiler=compiler)), root)
            except Unavailable as reason:
                pytest.skip(str(reason))
            finally:
                clear(root)
        return answers[case.id]

    return ask_once


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


@on_this_machine
@every_case
def test_cause(ask: Callable[[RuleCase], Answer], case: RuleCase) -> None:
    """The finding that comes first names the cause, as an error where the load is sure to fail."""
    answer = ask(case)

    assert answer.codes[0] == case.code, text_of(answer)
    assert answer.finding is not None
    assert answer.finding.severity == case.severity


@on_this_machine
@every_case
def test_the_real_loader_agrees(ask: Callable[[RuleCase], Answer], case: RuleCase) -> None:
    """The loader says what the finding says of it, or dies as foretold, or loads where that is only a warning."""
    answer = ask(case)
    if answer.real is None:
        pytest.skip("this machine's loader cannot show it")
    finding, real = answer.finding, answer.real
    assert finding is not None

    assert finding.loader_message == real["message"]
    if real["died"] is not None:
        assert real["died"] in dict(finding.evidence)["the loader"]
    if real["loads"]:
        assert case.warning


@on_this_machine
@pytest.mark.parametrize("case", [case for case in CASES if case.compared], ids=lambda case: case.id)
def test_golden_text(ask: Callable[[RuleCase], Answer], case: RuleCase) -> None:
    """The text is the one that was read and kept: after a change, `python -m tests.rules.regenerate` and read again."""
    answer = ask(case)
    if case.only_where not in ("", answer.installer):
        pytest.skip(f"the text holds a command of {case.only_where}")
    if case.code.startswith("TFG5"):
        pytest.importorskip("itanium_demangler", reason="the text holds readable C++ names")

    assert text_of(answer) == golden(case.id)


def test_every_code_has_a_case_and_a_golden_text() -> None:
    """And every case and golden text a code."""
    codes = {one.code for one in RULES if one.recognise is not None}

    assert {case.code for case in CASES} == codes
    assert kept() == {case.id for case in CASES if case.compared}
    assert {case.code for case in CASES if case.compared} == codes
    assert len({case.id for case in CASES}) == len(CASES)


def test_codes_and_slugs_are_unique() -> None:
    """Different rules have different codes and slugs, and the code's first figure is that of its family."""
    rules = {id(one): one for one in ALL}.values()

    whole = [*rules, *told.RULES]
    assert len({one.code for one in whole}) == len({one.slug for one in whole}) == len(whole) == len(RULES)
    for one in rules:
        assert re.fullmatch(r"TFG[1-9][0-9]{2}", one.code)
        assert one.recognise is not None, one.code
        assert one.recognise.__module__.rpartition(".")[2] in FAMILIES[one.code[3]], one.code


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_explanation(rule: Rule) -> None:
    """Title and two sentences at least, and `explain` finds them by code and by slug."""
    sentences = re.findall(r"[.:?](?=\s|$)", rule.explanation)

    assert rule.title
    assert rule.title[0].isupper() or rule.title.startswith("tfguard ")
    assert not rule.title.endswith(".")
    assert len(sentences) >= 2, rule.explanation
    assert max(map(len, rule.explanation.splitlines())) <= 116
    assert explain(rule.code) == explain(rule.slug.upper())


@pytest.mark.parametrize("name", sorted(kept()))
def test_text_keeps_the_rules_of_messages(name: str) -> None:
    """Style: the first line stands alone, no full stop at its end, no hedging; at most three remedies, plain ASCII."""
    text = golden(name) or ""
    first, blank, *rest = text.splitlines()
    remedies = [line for line in rest if line.startswith(("  fix  ", "  or   "))]

    assert re.match(r"TFG\d{3} [a-z0-9-]+( \((warning|note)\))?: \S", first)
    assert blank == ""
    assert not first.endswith((".", "!", "?"))
    if "(note)" not in first:  # there is nothing to mend
        assert 1 <= len(remedies) <= 3
        assert remedies[0].startswith("  fix")
    assert text.isascii()
    assert not re.search(r"(?i)\b(please|maybe|perhaps|just|simply)\b|!$|\?$", text)
    assert "reinstall" not in re.sub(r"--(force-)?reinstall", "", text).lower()


# Advice seen in threads that makes things worse, by what it would look like in a text.
WRONG_ADVICE = (
    r"os\.environ\[",
    r"KMP_DUPLICATE_LIB_OK",
    r"-D_GLIBCXX_USE_CXX11_ABI=",
    r"ln -s\S* \S*lib(cuda|cudnn|cublas)",
    r"csrutil",
    r"(?<!-)--no-check",
    r"chmod (-R )?777",
    r"(?i)fresh (virtual )?env",
)


@pytest.mark.parametrize("name", sorted(kept()))
def test_no_wrong_advice(name: str) -> None:
    """None of the advice that people meet in threads and that does not help."""
    advice = (golden(name) or "").partition("\n  fix  ")[2]

    assert [one for one in WRONG_ADVICE if re.search(one, advice)] == []


@pytest.mark.tensorflow
def test_module_missing_from_the_real_tensorflow(copy: TensorFlowCopy) -> None:
    """A module deleted from the installed TensorFlow is named, with the distribution that brought it."""
    name = "tensorflow/python/platform/_pywrap_cpu_feature_guard.so"
    if not (copy.original / name).exists():
        pytest.skip("this release has no such module")
    copy.replace(name, None)

    said = copy.run(
        "import json, tfguard\nreport = tfguard.check_import()\n"
        "print(json.dumps([[one.code, one.message, one.remedies[0].command] for one in report.errors]))"
    ).said
    broken = copy.run(
        "PREPARE\nimport json\ntry:\n import tensorflow\nexcept ImportError as e:\n print(json.dumps([str(e)]))"
    )

    assert isinstance(said, list)
    code, message, command = said[0]
    assert code == "TFG208"
    assert "_pywrap_cpu_feature_guard is missing from the installed tensorflow" in message
    assert re.search(r" -m pip install --force-reinstall \S+ \S+ tensorflow[\w-]*==\d+\.\d+", command)
    assert broken.said


def test_goldens_hold_nothing_of_a_machine() -> None:
    """No path of the machine that wrote them."""
    texts = {name: golden(name) or "" for name in kept()}

    assert [name for name, text in texts.items() if re.search(r"/(tmp|root|home|work)/", text)] == []
