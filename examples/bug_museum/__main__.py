"""A tour of the museum: what the checker says of every piece. Run it with `python examples/bug_museum`.

Prints a table with a line for each: its verdict, the cause that the checker names, the entry that is wrong most, and
how many evaluations of the function it took. Takes a second.
"""

import importlib

PIECES = (
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
    """Check every piece as it was published, and mended."""
    row = "{:25} {:8} {:38} {:13} {:>11}".format
    print(row("piece", "verdict", "cause", "entry", "evaluations"))
    for name in PIECES:
        piece = importlib.import_module(name)
        report = piece.check()
        print(row(name, report.verdict, report.cause or "(none known)", report.entry, report.evaluations))
        assert piece.check(piece.mended).ok, f"{name}, mended, does not pass"
    print(f"\n{len(PIECES)} pieces; mended, each of them passes")


if __name__ == "__main__":
    main()
