"""Check every derivative in minigan, or your own, against finite differences.

Without a target it checks all primitives, layers, losses, penalties and recipes, on every available array library with
every implementation of its kernels.
"""

from __future__ import annotations

import argparse
import difflib
import json
import math
import time
from pathlib import Path
from typing import Any

import minigan_kernels
from minigan.checking import from_file
from minigan.cli import options
from minigan.cli.exit_codes import FAILURE, SUCCESS
from minigan.cli.interrupt import exit_on_interrupt
from minigan.core import backend, progress
from minigan.core.backend import FLOATS, Implementation
from minigan.core.errors import UsageError, did_you_mean
from minigan.selftest import Case, all_cases
from minigan.selftest.check import CaseResult, CheckResult, check
from minigan_kernels import REFERENCE

_PICTURE_FORMATS = (".png", ".svg", ".pdf")
_FILE_OPTIONS = ("gradient", "vjp", "shape", "picture")
_SELFTEST_OPTIONS = ("only", "kernels", "order")
_MAX_AXES = 32  # of an array, in any version of NumPy
_MAX_NUMBERS = 10_000_000  # 80 MB in float64
_MAX_SHOWN_NUMBER = 10**18
_MAX_SHOWN_CHARACTERS = 60
_COLUMNS = ("case", "kernels", "order", "verdict", "error", "bar", "evaluations")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan gradcheck`."""
    parser.add_argument(
        "target", metavar="FILE.py:FUNCTION", nargs="?",
        help="a function of yours: it takes no arguments and returns (f, grad_f, x), or it is f itself, and "
        "grad_FUNCTION returns its gradient (default: everything in minigan)",
    )  # fmt: skip
    parser.add_argument("--only", metavar="TEXT", help="only those of minigan's cases whose names contain this text")
    parser.add_argument("--kernels", help="only this implementation of minigan's kernels (default: all available)")
    parser.add_argument("--order", type=options.whole_number, help="1, 2 or 3 (default: what suits each case)")
    parser.add_argument("--gradient", metavar="NAME", help="the function in the file that returns the gradient")
    parser.add_argument(
        "--vjp",
        metavar="NAME",
        help="the function in the file that takes a cotangent too, and returns the vector-Jacobian products",
    )
    parser.add_argument(
        "--shape", metavar="3,4", type=_shape, action="append",
        help="shape of an argument of the function, which is then drawn at random; give it once for each argument",
    )  # fmt: skip
    parser.add_argument(
        "--picture",
        metavar="FILE.png",
        type=Path,
        help="file for a picture of the error of every entry, drawn if one is wrong",
    )
    parser.add_argument("--seed", type=options.whole_number, default=0, help="seed of every random draw (default: 0)")
    parser.add_argument(
        "--dtype", default="float64", help=f"type of the numbers: {' or '.join(FLOATS)} (default: float64)"
    )
    parser.add_argument("--quiet", action="store_true", help="print the result and errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the results; the exit code is 0 if every derivative is right."""
    _require_valid_options(arguments)
    options.choose_device("numpy", None, None, arguments.quiet)
    return _check_minigan(arguments) if arguments.target is None else _check_file(arguments)


def _shape(text: str) -> tuple[int, ...]:
    try:
        extents = tuple(int(part) for part in text.strip("() ").rstrip(",").split(",") if part.strip())
    except ValueError:
        extents = (0,)
    if not all(extent > 0 for extent in extents):
        shown = text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}..."
        raise argparse.ArgumentTypeError(f"'{shown}' is not a shape; write whole numbers with commas, such as 3,4")
    if len(extents) > _MAX_AXES:
        raise argparse.ArgumentTypeError(f"a shape of {len(extents)} axes is too long; give at most {_MAX_AXES}")
    return extents


def _require_bounded(shapes: list[tuple[int, ...]]) -> None:
    count = sum(math.prod(shape) for shape in shapes)
    if count > _MAX_NUMBERS:
        shown = f"{count:,}" if count < _MAX_SHOWN_NUMBER else f"more than {_MAX_SHOWN_NUMBER:,}"
        raise UsageError(
            f"the arrays of --shape have {shown} numbers in all, and a check holds about 20 copies of them; choose "
            f"shapes of at most {_MAX_NUMBERS:,} numbers together."
        )


def _require_valid_options(arguments: argparse.Namespace) -> None:
    has_target = arguments.target is not None
    use = "for the derivatives of minigan itself" if has_target else "with FILE.py:FUNCTION"
    for name in _SELFTEST_OPTIONS if has_target else _FILE_OPTIONS:
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name} is only of use {use}; leave it out, or see 'minigan gradcheck --help'.")
    _require_bounded(arguments.shape or [])
    if arguments.order not in (None, 1, 2, 3):
        raise UsageError(f"--order must be 1, 2 or 3, not {arguments.order}.")
    if not 0 <= arguments.seed < 2**63:
        raise UsageError(f"--seed must be a whole number of at least 0 and below 2**63, not {arguments.seed}.")
    if arguments.dtype not in FLOATS:
        raise UsageError(f"there is no type '{arguments.dtype}'; {did_you_mean(arguments.dtype, FLOATS)}")
    if arguments.picture is not None and arguments.picture.suffix not in _PICTURE_FORMATS:
        raise UsageError(
            f"--picture takes a name that ends in {', '.join(_PICTURE_FORMATS)}, not '{arguments.picture}'."
        )
    if arguments.picture is not None:
        options.require_output_file(arguments.picture, "--picture")


# Checks of a user's function.


def _check_file(arguments: argparse.Namespace) -> int:
    user_function = from_file.load(
        arguments.target, gradient=arguments.gradient, vjp=arguments.vjp, shapes=arguments.shape or (),
        seed=arguments.seed, dtype=arguments.dtype,
    )  # fmt: skip
    report = user_function.check(arguments.seed)
    print(report.to_json() if arguments.json else report)
    if arguments.picture is not None:
        if report.error_map is None:
            options.notice_printer(arguments.quiet)(f"no entry was found wrong, so {arguments.picture} was not drawn")
        else:
            report.save_picture(arguments.picture)
    return SUCCESS if report.ok else FAILURE


# Checks of all derivatives in minigan.


def _check_minigan(arguments: argparse.Namespace) -> int:
    start = time.perf_counter()
    with exit_on_interrupt():  # this may import CuPy
        implementations = _select_implementations(backend.implementations(), arguments.kernels)
    usable = [implementation for implementation in implementations if implementation.unavailable is None]
    missing = {
        str(implementation): implementation.unavailable
        for implementation in implementations
        if implementation.unavailable is not None
    }
    case_results = _check_cases(_select(all_cases(arguments.seed, arguments.dtype), arguments.only), usable, arguments)
    seconds = time.perf_counter() - start
    failed = [result for case_result in case_results for result in case_result.results if result.failed]
    if arguments.json:
        options.print_json(_as_json(case_results, usable, missing, seconds))
    else:
        _print_table([result for case_result in case_results for result in case_result.results])
        for result in failed:
            print(f"\n{result.case.name}, kernels {result.implementation}\n{result.details}")
        print()
        for sentence in _summary(case_results, missing, seconds):
            print(sentence)
    return FAILURE if failed else SUCCESS


def _select_implementations(implementations: list[Implementation], kernels: str | None) -> list[Implementation]:
    """Those that are named `kernels`; None: all. Raises UsageError if there is none, or if none can be used."""
    if kernels is None:
        return implementations
    chosen = [implementation for implementation in implementations if implementation.kernels == kernels]
    if any(implementation.unavailable is None for implementation in chosen):
        return chosen
    names = minigan_kernels.IMPLEMENTATIONS
    if kernels not in names:
        raise UsageError(f"there are no kernels '{kernels}'; {did_you_mean(kernels, names)}")
    raise UsageError(f"the kernels '{kernels}' cannot be checked here: {backend.unavailable(kernels)}.")


def _select(cases: list[Case], only: str | None) -> list[Case]:
    if only is None:
        return cases
    chosen = [case for case in cases if only.lower() in case.name.lower()]
    if not chosen:
        words = {part for case in cases for part in case.name.split("/") if not part.isdecimal()}
        near = difflib.get_close_matches(only, words, n=1, cutoff=0.5)
        groups = {case.name.partition("/")[0] for case in cases}
        raise UsageError(f"no case has '{only}' in its name; {did_you_mean(only, near or groups)}")
    return chosen


def _check_cases(
    cases: list[Case], implementations: list[Implementation], arguments: argparse.Namespace
) -> list[CaseResult]:
    case_results = []
    with progress.bar(arguments.quiet, desc="checking", unit="case", total=len(cases), leave=False) as bar:
        for case in cases:
            bar.set_postfix_str(case.name, refresh=False)
            case_results.append(check(case, implementations, arguments.order, arguments.seed))
            bar.update()
    return case_results


def _print_table(results: list[CheckResult]) -> None:
    rows = [_COLUMNS, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        words = [f"{cell:<{width}}" for cell, width in zip(row[:4], widths[:4], strict=True)]
        numbers = [f"{cell:>{width}}" for cell, width in zip(row[4:], widths[4:], strict=True)]
        print("  ".join([*words, *numbers]).rstrip())


def _row(result: CheckResult) -> tuple[str, ...]:
    report = result.report
    if report is None:
        return result.case.name, str(result.implementation), "", "cannot" if result.unsupported else "ERROR", "", "", ""
    numbers = _short(report.error), _short(report.bar), f"{report.evaluations:,}"
    verdict = f"{report.verdict}" if report.ok or report.verdict != "KINK" else f"{report.verdict} (wrong)"
    return result.case.name, str(result.implementation), str(report.order), verdict, *numbers


def _short(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.1e}"


def _summary(case_results: list[CaseResult], missing: dict[str, str], seconds: float) -> list[str]:
    results = [result for case_result in case_results for result in case_result.results]
    failed = sum(result.failed for result in results)
    unable = sum(result.unsupported for result in results)
    kinks = sum(
        result.report is not None and result.report.ok and result.report.verdict == "KINK" for result in results
    )
    sentences = []
    for implementation in dict.fromkeys(
        implementation for case_result in case_results for implementation in case_result.skipped_kernels
    ):
        count = sum(implementation in case_result.skipped_kernels for case_result in case_results)
        sentences.append(
            f"{count} cases use no kernel of {implementation}, only those of the reference, and run with these."
        )
    sentences += [f"{name} was not checked: {reason}." for name, reason in missing.items()]
    if unable:
        sentences.append(f"{unable} checks cannot run on their implementation (marked 'cannot').")
    at_kinks = f", {kinks} of them at a kink" if kinks else ""
    passed = len(results) - failed - unable
    cases = f"{len(case_results)} cases in {seconds:.1f} s"
    sentences.append(f"{passed} of {len(results)} checks passed{at_kinks}, {failed} failed; {cases}.")
    return sentences


def _as_json(
    case_results: list[CaseResult], implementations: list[Implementation], missing: dict[str, str], seconds: float
) -> dict[str, Any]:
    results = [result for case_result in case_results for result in case_result.results]
    failed = sum(result.failed for result in results)
    return {
        "checks": [_result_as_json(result) for result in results],
        "left_to_reference": {
            str(implementation): [
                case_result.results[0].case.name
                for case_result in case_results
                if implementation in case_result.skipped_kernels
            ]
            for implementation in implementations
            if implementation.kernels != REFERENCE
        },
        "unavailable": missing,
        "cases": len(case_results),
        "passed": len(results) - failed - sum(result.unsupported for result in results),
        "failed": failed,
        "seconds": round(seconds, 3),
    }


def _result_as_json(result: CheckResult) -> dict[str, Any]:
    report = None if result.report is None else json.loads(result.report.to_json())
    return {
        "case": result.case.name,
        "backend": result.implementation.backend.name,
        "kernels": result.implementation.kernels,
        "failed": result.failed,
        "unable": result.unsupported,
        "problem": result.problem,
        "seconds": round(result.seconds, 4),
        "report": report,
    }
