"""Every regular expression of the code, found in its source, and attacks on each made from texts that it matches.

An attack repeats a piece of a matching text many times and spoils the end, which is what makes a pattern search on.
"""

import ast
import importlib
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, TypeAlias

ROOT = Path(__file__).parent.parent
METHODS = ("match", "fullmatch", "search", "sub", "findall", "finditer", "split")
_CONNECTORS = ("", "-", " ", "://x:")

Pattern: TypeAlias = re.Pattern[str] | re.Pattern[bytes]


@dataclass(frozen=True)
class Use:
    """A pattern and how it is applied; a place whose pattern is only made at run time has none."""

    place: str
    pattern: Pattern | None
    method: str


def find_uses(package: str) -> list[Use]:
    return [use for path in sorted((ROOT / package).rglob("*.py")) for use in _uses_in(path)]


def _uses_in(path: Path) -> Iterator[Use]:
    text = path.read_text(encoding="utf-8")
    if "import re\n" not in text:
        return
    relative = path.relative_to(ROOT)
    module = importlib.import_module(".".join(relative.with_suffix("").parts).removesuffix(".__init__"))
    tree = ast.parse(text)
    methods = dict(_applied(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if not isinstance(node.func.value, ast.Name) or node.func.value.id != "re" or not node.args:
            continue
        if node.func.attr not in (*METHODS, "compile"):
            continue
        method = node.func.attr if node.func.attr != "compile" else methods.get(_name_of(tree, node), "search")
        method = "match" if _is_of_record_patterns(tree, node) else method
        where = f"{relative.as_posix()}:{_function_of(tree, node)}"
        yield Use(where, _evaluate(node, module), method)


def _applied(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Which method each named pattern is used with: `_NAME.fullmatch(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
            yield node.value.id, node.attr


def _name_of(tree: ast.AST, call: ast.Call) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is call:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            return target.id if isinstance(target, ast.Name) else ""
    return ""


def _is_of_record_patterns(tree: ast.AST, call: ast.Call) -> bool:
    """Patterns kept in fields, whose uses cannot be found by name: all are matched where the last one ended."""
    return any(
        isinstance(node, ast.Call)
        and ast.unparse(node.func) == "RecordPatterns"
        and any(word.value is call for word in node.keywords)
        for node in ast.walk(tree)
    )


def _function_of(tree: ast.AST, call: ast.Call) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(inner is call for inner in ast.walk(node)):
            return node.name
    return ast.unparse(call)[:60]


def _evaluate(call: ast.Call, module: ModuleType) -> Pattern | None:
    """The pattern with its flags, if it depends on nothing but the module's names."""
    assert isinstance(call.func, ast.Attribute)
    flags = [ast.unparse(word.value) for word in call.keywords if word.arg == "flags"]
    place = {"compile": 1, "sub": 4}.get(call.func.attr, 2)
    flags += [ast.unparse(argument) for argument in call.args[place : place + 1]]
    try:
        source = eval(ast.unparse(call.args[0]), vars(module))
    except NameError:
        return None
    return re.compile(source, eval(flags[0], vars(module)) if flags else 0)


def attacks(sample: Any, size: int) -> Iterator[Any]:
    """Texts of about `size` made from one that matches: each short piece of it pumped, the end spoilt or not."""
    is_bytes = isinstance(sample, bytes)
    sample = sample[:16]
    spoilt = [_like("", is_bytes), _like("\x00", is_bytes), _like("!", is_bytes), sample[-3:]]
    pieces = {(start, end) for start in range(len(sample)) for end in range(start + 1, min(start + 5, len(sample)) + 1)}
    for (start, end), connector, tail in product(sorted(pieces), _CONNECTORS, spoilt):
        pump = sample[start:end] + _like(connector, is_bytes)
        yield sample[:start] + pump * (size // len(pump)) + tail


def _like(text: str, is_bytes: bool) -> str | bytes:
    return text.encode() if is_bytes else text


def cpu_time(pattern: Any, method: str, text: Any, repeats: int = 1) -> float:
    """The least CPU time of some tries, which a busy machine changes little."""
    return min(_once(pattern, method, text) for _ in range(repeats))


def _once(pattern: Any, method: str, text: Any) -> float:
    begun = time.thread_time()
    if method == "sub":
        pattern.sub(text[:0], text)
    elif method == "finditer":
        list(pattern.finditer(text))
    else:
        getattr(pattern, method)(text)
    return time.thread_time() - begun


def grows_faster_than_its_text(pattern: Any, method: str, texts: Sequence[Any]) -> bool:
    """Of two texts, one four times as long: linear cost is 4 times as much, quadratic 16 times."""
    short, long = (cpu_time(pattern, method, text, repeats=3) for text in texts)
    return long > 9 * short


@contextmanager
def cpu_limit(what: str, seconds: float = 20) -> Iterator[None]:
    """An exponential pattern would run for years: end it, after CPU time that no other load of the machine uses up."""

    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"{what}: {seconds} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
