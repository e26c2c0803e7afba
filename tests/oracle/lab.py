"""Asks in every world what tfguard foretells of its loader: forests, named cases, and its tree judged from outside.

python -m tests.oracle.lab                                    every world, the numbers that the project promises
python -m tests.oracle.lab --world debian-12 --forests 500 --first-seed 1000
python -m tests.oracle.lab --world debian-12 --seed 1234      one forest, what was said and what happened
python -m tests.oracle.lab --world debian-13 --forests 0      all but the forests

A forest that differs is shrunk. The exit status is 1 where anything disagreed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.loader.cases import CASES
from tests.loader.laid_out import LaidOut, laid_out, what_differs
from tests.loader.scene import Case
from tests.musl.harness import ONE_FOR_MUSL
from tests.oracle import outside, wheel
from tests.oracle.forest import Forest, grow, lay_out
from tests.oracle.inside import ask, in_world
from tests.oracle.musl_forest import grow_musl
from tests.oracle.musl_inside import ask_musl
from tests.oracle.musl_worlds import MUSL_WORLDS, MuslWorld, build_musl
from tests.oracle.shrink import shrink
from tests.oracle.worlds import GROWN, PROGRAMS, WORLDS, Unavailable, World, build
from tests.support.real_loader import Answer, Load, verdict_of
from tfguard.image import EM_X86_64

AnyWorld = World | MuslWorld

ALL_WORLDS: tuple[AnyWorld, ...] = (*WORLDS, *MUSL_WORLDS)
_ROOT = Path(GROWN)
_SHRUNK = 3
PROMISED = {"debian-12": 10_000}
PROMISED_ELSEWHERE = 2_000


@dataclass(slots=True)
class Result:
    """What a run over some seeds showed: which differ and in what, how loads ended, what was not asked.

    `tried` counts the candidates of searches that the loader told of and tfguard foresaw, `last_seed` is the last one
    that was taken.
    """

    last_seed: int = 0
    asked: int = 0
    loads: int = 0
    tried: int = 0
    differ: dict[int, str] = field(default_factory=dict)
    uncertain: dict[int, str] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    shrunk: dict[int, str] = field(default_factory=dict)


def ask_forest(world: AnyWorld, forest: Forest) -> Answer | str:
    """Lay a forest out in the world that this process has entered, and ask about it."""
    shutil.rmtree(_ROOT, ignore_errors=True)
    _ROOT.mkdir(mode=0o755)
    load = lay_out(forest, _ROOT, world.machine, world.page_size)
    return _ask(world, load, forest.program)


def _ask(world: AnyWorld, load: Load, program: str = "ask_loader") -> Answer | str:
    return ask_musl(world, load, program) if isinstance(world, MuslWorld) else ask(world, load, program)


def grown(world: AnyWorld, seed: int) -> Forest:
    """The forest of a seed in a world: one for all worlds of a C library."""
    if isinstance(world, MuslWorld):
        return grow_musl(seed, str(_ROOT))
    return grow(seed, str(_ROOT), programs=tuple(PROGRAMS), whole_process=True)


def run(world: AnyWorld, seeds: range, *, enough: int | None = None, shrinks: int = _SHRUNK) -> Result:
    """Ask about the forests of these seeds, until `enough` were asked.

    Raises Unavailable where the world cannot be entered.
    """
    return in_world(world, None, lambda: _run_inside(world, seeds, enough or len(seeds), shrinks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """How many named cases were answered alike in a world, what differs in which, and why others were not asked."""

    agree: int
    differ: dict[str, str]
    left_out: dict[str, str]


def ask_cases(world: AnyWorld, cases: LaidOut) -> Cases:
    """Ask about the named cases; raises Unavailable where the world cannot be entered."""
    passed_over = ONE_FOR_MUSL if isinstance(world, MuslWorld) else ()
    loads = {name: load for name, load in cases.loads.items() if not name.startswith(passed_over)}
    answers = in_world(world, cases.root, lambda: {name: _ask(world, load) for name, load in loads.items()})
    known = {case.id: case for case in CASES}
    differ: dict[str, str] = {}
    left_out = dict(cases.left_out)
    for name, answer in answers.items():
        case = known[name]
        if isinstance(answer, str):
            left_out[name] = answer
        elif (words := _what_differs(world, case, answer)) is not None:
            differ[name] = words
    return Cases(agree=len(answers) + len(cases.left_out) - len(differ) - len(left_out), differ=differ,
                 left_out=left_out)  # fmt: skip


def _what_differs(world: AnyWorld, case: Case, answer: Answer) -> str | None:
    """What is wrong with the answer to a case: glibc's must be certain where the case says so."""
    if isinstance(world, MuslWorld):
        return answer.disagreement if _is_wrong(answer) else None
    return what_differs(case, answer)


def _run_inside(world: AnyWorld, seeds: range, enough: int, shrinks: int) -> Result:
    result = Result()
    for seed in seeds:
        if result.asked == enough:
            break
        result.last_seed = seed
        forest = grown(world, seed)
        answer = ask_forest(world, forest)
        if isinstance(answer, str):
            result.left_out[answer.partition(":")[0]] += 1
            continue
        result.asked += 1
        result.loads += len(answer.pairs)
        for _, was in answer.pairs:
            result.ends[verdict_of(was)] += 1
            result.tried += len(was.tried)
        if answer.disagreement is None:
            continue
        if not all(said.certain for said, _ in answer.pairs):
            result.uncertain[seed] = answer.disagreement
            continue
        result.differ[seed] = answer.disagreement
        if len(result.shrunk) < shrinks:
            small = shrink(forest, lambda one: _is_wrong(ask_forest(world, one)))
            result.shrunk[seed] = f"{_shown(small)}\n{_words(ask_forest(world, small))}"
    return result


def _is_wrong(answer: Answer | str) -> bool:
    if isinstance(answer, str):
        return False
    return answer.disagreement is not None and all(said.certain for said, _ in answer.pairs)


def _words(answer: Answer | str) -> str:
    return answer if isinstance(answer, str) else str(answer.disagreement)


def _shown(forest: Forest) -> str:
    plants = "\n".join(f"  {_fields(plant)}" for plant in forest.plants)
    rest = f"loads={forest.loads} before={forest.before} cwd={forest.cwd!r} environment={dict(forest.environment)}"
    return f"{rest} user={forest.user} program={forest.program}\n{plants}"


def _fields(value: object) -> str:
    """The fields of a dataclass that are not as they are by default."""
    shown = []
    for name, one in type(value).__dataclass_fields__.items():  # type: ignore[attr-defined]  # only dataclasses come
        now = getattr(value, name)
        if now != one.default and now not in (None, (), {}):
            shown.append(f"{name}={_fields(now) if hasattr(now, '__dataclass_fields__') else now!r}")
    return f"{type(value).__name__}({', '.join(shown)})"


def tell(world: AnyWorld, result: Result, seconds: float, first_seed: int) -> None:
    """Print what a run showed."""
    ends = ", ".join(f"{count} {end}" for end, count in result.ends.most_common())
    print(f"{world.name} ({world.libc}): seeds {first_seed} to {result.last_seed}, "
          f"{result.asked} forests, {result.loads} loads: {ends}")  # fmt: skip
    for reason, count in result.left_out.items():
        print(f"  left out: {count} where {reason}")
    print(f"  {result.tried} candidates of searches compared, in their order")
    print(f"  {len(result.differ)} disagree, {len(result.uncertain)} differ where tfguard says it is not certain; "
          f"{seconds:.0f} s")  # fmt: skip
    for seed, words in result.differ.items():
        print(f"  seed {seed}: {words}")
        if seed in result.shrunk:
            print(f"  shrunk to: {result.shrunk[seed]}")


def _tell_cases(cases: Cases) -> bool:
    """Print what the named cases showed; whether any differed."""
    print(f"  {cases.agree} named cases agree, {len(cases.differ)} differ")
    for name, words in (*cases.left_out.items(), *cases.differ.items()):
        print(f"    {name}: {words}")
    return bool(cases.differ)


def main(arguments: list[str]) -> int:
    """Run what the command line says; the exit status is 1 where anything disagreed."""
    parser = argparse.ArgumentParser(
        description="Asks real loaders and tfguard the same, in worlds of other Debian releases and of musl."
    )
    parser.add_argument("--world", choices=[world.name for world in ALL_WORLDS], action="append")
    parser.add_argument("--forests", type=int, help="how many to ask about")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, help="this one alone")
    chosen = parser.parse_args(arguments)
    with laid_out() as cases:
        wrong = [
            _run_world(world, chosen, cases) for world in ALL_WORLDS if world.name in (chosen.world or [world.name])
        ]
    return 1 if any(wrong) else 0


def _run_world(world: AnyWorld, chosen: argparse.Namespace, cases: LaidOut) -> bool:
    """Build, ask, judge and print; whether anything disagreed."""
    count = chosen.forests if chosen.forests is not None else PROMISED.get(world.name, PROMISED_ELSEWHERE)
    seeds = range(chosen.first_seed, chosen.first_seed + 2 * count)  # some loads cannot be asked of their process
    if chosen.seed is not None:
        seeds = range(chosen.seed, chosen.seed + 1)
    wrong = False
    try:
        build_musl(world) if isinstance(world, MuslWorld) else build(world)
        if seeds:
            begin = time.monotonic()
            result = run(world, seeds, enough=count)
            tell(world, result, time.monotonic() - begin, seeds.start)
            wrong = bool(result.differ)
            for seed, words in result.uncertain.items() if chosen.seed is not None else ():
                print(f"  seed {seed} differs and tfguard is not certain: {words}")
        if chosen.seed is not None:
            return wrong
        if world.machine == EM_X86_64:  # what they are made for
            wrong = _tell_cases(ask_cases(world, cases)) or wrong
        return wrong if isinstance(world, MuslWorld) else _judge_from_outside(world) or wrong
    except Unavailable as reason:
        print(f"{world.name}: left out, {reason}")
        return wrong


def _judge_from_outside(world: World) -> bool:
    """Judge the tree's objects, its Python and a wheel in it from outside, and print; whether anything disagreed."""
    objects = outside.objects_of(world.tree)
    wrong = _tell_seen(world, "objects as they are", outside.judge_objects(world, objects))
    with outside.broken(world, objects) as copies:
        wrong |= _tell_seen(world, "objects broken by hand", outside.judge_objects(world, copies))
    modules = [path for path in objects if "/lib-dynload/" in path]
    wrong |= _tell_seen(world, "modules of its Python", outside.judge_python(world, modules))
    if world.name == wheel.WORLD:
        wheel.unpack(world)
        wrong |= _tell_seen(world, f"loads of TensorFlow {wheel.RELEASE}'s import", wheel.judge_wheel(world))
    return wrong


def _tell_seen(world: World, what: str, seen: outside.Seen) -> bool:
    """Print what a judgement from outside showed; whether any differed."""
    ends = ", ".join(f"{count} {end}" for end, count in seen.ends.most_common())
    print(f"{world.name} from outside, {what}: {seen.asked} compared, {len(seen.differ)} differ: {ends}")
    for name, words in seen.differ.items():
        print(f"    {name}: {words}")
    return bool(seen.differ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
