"""All cases of the bug museum in one table. Run it with `python examples/bug_museum`.

Prints a line for each case: the checker's verdict, the cause that it names, the entry with the largest error, and the
number of evaluations of the function. Takes a second.
"""

import importlib

CASES = (
    "cleared_caches",
    "consensus_half",
    "minus_fake_loss",
    "both_labels_on_fakes",
    "blended_batch",
    "minimises_kl",
    "second_derivative_raises",
    "fast_mode",
    "tolerance_times_size",
    "tiny_gradient",
    "wrong_at_the_kink",
    "no_sum_over_batch",
    "batch_norm_short",
    "mean_as_sum",
)


def main():
    """Check every case as published, and after the correction."""
    row = "{:25} {:8} {:38} {:13} {:>11}".format
    print(row("case", "verdict", "cause", "entry", "evaluations"))
    for name in CASES:
        case = importlib.import_module(name)
        report = case.check()
        print(row(name, report.verdict, report.cause or "(none known)", report.entry, report.evaluations))
        assert case.check(case.corrected).ok, f"{name}, corrected, does not pass"
    print(f"\n{len(CASES)} cases; each passes after its correction")


if __name__ == "__main__":
    main()
