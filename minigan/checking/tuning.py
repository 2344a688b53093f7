"""Every tuned constant of the gradient checker, in one table.

"Rounding" means one unit in the last place, eps, of the coarsest floating-point type that takes part. Constants that
count roundings come from a rounding analysis, with a margin for the unknown length of the user's computation. The
others were chosen by trial.
"""

import math

# Central differences and their extrapolation (finite_differences.py).
STEP_RATIO = math.sqrt(2)  # from one step to the next shorter one
NON_FINITE_STEP_RATIO = 4.0  # the same, as long as the function is not finite at the step
STEP_RANGE = 2.0**28  # the longest step over the shortest; the shortest is then about 1e-9
MIN_SAMPLES = 4  # steps to take at least
PATIENCE = 3  # steps without a better estimate, after which none is expected
MAX_COLUMNS = 9  # of Neville's tableau
DISAGREEMENT = 4.0  # times the difference between neighbours in the tableau, and
ROUNDING = 4.0  # times the rounding: with both, 600 derivatives with known values had errors below 2/3 of their bars
KINK_WEIGHT = 1e-3  # of the kink estimate's bar beside the derivative's: its error terms are harder to remove
KINK_ERROR_BARS = 3.0  # by how many error bars the one-sided derivatives of a kink differ at least,
KINK_SIZE = 1e-5  # and by how much of the derivative
JUMP_STEPS = 8  # steps over which a jump keeps its height: the last is about a tenth of the first
JUMP_VARIATION = 0.1  # of its height, by which a jump may vary over these steps
JUMP_STEP = 1e-6  # of the first step: where an estimate was found before the steps were so short, nothing jumps
TAYLOR_ROUNDINGS = 100.0  # a remainder below so many is rounding, and says nothing of an order

# The comparison of an analytic with a numeric directional derivative (directional.py).
SECOND_FIRST_STEP = 0.76  # of the first step: a repeated measurement should not use the same steps
ERROR_BARS = 2  # by how many error bars an estimate may be off
ANALYTIC_ROUNDINGS = 64  # roundings that each entry of an analytic derivative may have seen
INPUT_ROUNDING = 8  # times the change of the analytic derivative when the inputs are rounded differently
VALUE_ROUNDINGS = 64  # roundings of f by which a derivative near 0 may be off
MAX_NOISE = 1e-3  # of the derivative: with a larger error bar the verdict is NOISY;
MAX_NOISE_ROOTS = 300  # where fewer digits are available, so many times sqrt(eps) of the derivative,
MAX_NOISE_VALUE_ROOTS = 16  # or, for a derivative near 0, so many times sqrt(eps) of the value of f
RESOLVED_KINK_ROOTS = 1  # times sqrt(eps) of the derivative: the error bars of a kink at the point itself are no larger
QUANTISED_ROUNDINGS = 100  # roundings of a number of size 1: smaller changes of f may be rounding inside of it
SUFFICIENT_ROUNDINGS = 16  # of the derivative: an estimate this exact needs no more values
ACCEPTABLE_ROOTS = (
    64  # times sqrt(eps) of the derivative, or roundings of f: so small an error bar excludes kinks near by
)
CONCLUSIVE = 1e-4  # of the difference between analytic and numeric: a smaller error bar leaves no doubt of a mistake
CERTAIN_TOLERANCES = 60  # a difference of so many tolerances needs no second measurement
MAX_RATIO_OF_BARS = 1e6  # a measurement that agrees does not count if its error bar is so many times the other's

# Discontinuities (discontinuities.py).
JUMP_LONGER_STEP = 16.0  # times the step, to see whether the change of f grows with it
JUMP_GROWTH = 0.5  # of its height, by which a jump may differ at the longer step

# How far the entries move (step_limits.py, problem.py, directions.py).
FIRST_STEP = 0.25  # of the typical size of an array: the first step of the finite differences
SMALLEST_STEP_ROUNDINGS = 4  # roundings of the entries: a shorter step may not change them
LAST_STEP = 1e-9  # of the typical size: the shortest step to try at the boundary of the domain
DOMAIN_STEP_RATIO = 4.0  # from a step that leaves the domain to the next one tried
NEARBY_SHIFT = 0.03  # of the typical size: how far a point is moved off its kinks
FAR_SHIFT = 0.3  # the same, off many kinks that lie close together
SHIFT_FACTORS = (1.0, 1e-2, 1e-4, 1e-6, 1e-8)  # of the shift, tried in turn where it leaves the domain
DIRECTION_FACTORS = (0.5, 1.5)  # range of the random factors of a direction's entries, and of the outputs' weights
DISTANT_FACTORS = (0.5, 0.9)  # range of the random factors of a point far away
MIN_BALANCE = 1e-6  # the least factor by which balancing a direction shortens the move of an entry, or of an array
COMPLEX_STEP = 1e-30  # its square is nothing beside 1, and there is no subtraction that would need a longer one

# Searches for entries (ranges.py, locate.py).
MAX_RANGES = 100  # to examine in one search; ranges that are left count as found
PARTS = 16  # into which a search for a single wrong entry splits a range
CLEAR_ERROR = 4.0  # times the uncertainty: an error this large can be located
PART_DEVIATION = 0.15  # how far from a whole number the measured number of the wrong part may be
SMALL_ERROR = 1e-2  # of the largest: an array with a smaller error does not count as detached
MIN_UNCERTAINTY = 1e-2  # of the whole direction's uncertainty, which a range of it keeps at least

# The cause of an error (causes.py, check.py).
MAX_UNEXPLAINED = 1e-3  # of an error: the part of it that its cause may leave unexplained
MAX_PLAIN_UNCERTAINTY = 1e-3  # of an error: with a smaller uncertainty, single central differences are exact enough
CONFIRMATIONS = 2  # directions, other than the one it was found by, along which a candidate cause must agree
FACTOR_PRECISION = 1e-6  # relative: how near a measured factor must be to a known one (-1, 2, 1/n ...)
ZERO_PRECISION = 1e-9  # of the analytic derivative of an entry: a smaller numeric one is 0
MAX_AXES = 4  # of an array, to try all permutations of its axes

# The conditions that hold before anything is measured (analytic.py).
TIE_CHANGE = 1e-4  # of the largest entry: a larger change of the derivative when the inputs are rounded differently is
# a switch, as at the tie of a maximum, and no rounding
TIE_ROUNDINGS = 64  # roundings: a smaller change may be rounding after all
INPUT_ROUNDINGS = 2  # by which the inputs are moved to see what their rounding does to the derivative
REPEATED_CALLS = 4  # further calls of f, where two calls at the same point differ

# The course of a check, and its picture (check.py, error_map.py).
MAX_CELLS = 32  # of the error map, in rows and in columns: each takes two evaluations
MAX_DISCONTINUITY_SEARCHES = 3  # for entries that make f jump, each along another direction
