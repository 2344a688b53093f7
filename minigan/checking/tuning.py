"""Every tuned constant of the gradient checker, in one table.

The letter after each constant says where its value comes from:

[R] Rounding. The constant counts roundings, or multiples of sqrt(eps) (half of the digits), so that it holds for
    any type; one rounding is eps of the coarsest type that takes part. The count is an allowance, because the
    length of the computation that is checked is unknown.
[M] A measurement, which the comment states.
[W] A limit of the work: more evaluations, ranges or steps than this are not tried.
[C] A choice.

The results do not depend on the exact values. Each number was halved and doubled, one at a time (whole numbers to at
least 1; MAX_CELLS and the tuples were left out), on a sample of benchmarks/gradcheck_mutants.py with seed 0 (at least
every third mistake and every sixth right case) and of gradcheck_domains.py. As with the values below, every mistake was
caught, every wrong entry found, and no right derivative rejected. There were two exceptions: with a STEP_RATIO of 1.13
(it must exceed 1) there were two false alarms and a cause was missed, and with a MAX_AXES of 2 two causes were missed.
"""

import math

# Central differences and their extrapolation (finite_differences.py).

STEP_RATIO = math.sqrt(2)
"""From one step to the next shorter one. [C]"""
NON_FINITE_STEP_RATIO = 4.0
"""From one step to the next shorter one as long as the function is not finite at the step. [C]"""
STEP_RANGE = 2.0**28
"""The longest step over the shortest, which is then about 1e-9. [C]"""
MIN_SAMPLES = 4
"""The least number of steps. [C]"""
PATIENCE = 3
"""Steps without a better estimate, after which none is expected. [W]"""
MAX_COLUMNS = 9
"""Columns of Neville's tableau. [W]"""
DISAGREEMENT = 4.0
"""The error bar is this many times the difference between neighbours in the tableau, plus ROUNDING roundings. [M]

With both, 600 derivatives with known values had errors below two thirds of their error bars.
"""
ROUNDING = 4.0
"""See DISAGREEMENT. [M]"""
KINK_WEIGHT = 1e-3
"""Weight of the kink's error bar in the choice of the best estimate: its error terms are harder to remove. [C]"""
KINK_ERROR_BARS = 3.0
"""At a kink the one-sided derivatives differ by more than this many error bars. [C]"""
KINK_SIZE = 1e-5
"""At a kink half the difference of the one-sided derivatives is a larger fraction of their mean than this. [C]"""
JUMP_STEPS = 8
"""Steps over which a jump keeps its height; the last one is about a tenth of the first. [C]"""
JUMP_VARIATION = 0.1
"""The largest variation of a jump over these steps, relative to its height. [C]"""
JUMP_STEP = 1e-6
"""Where an estimate is found at longer steps than this, relative to the first one, the function does not jump. [C]"""
TAYLOR_ROUNDINGS = 100.0
"""A remainder of so few roundings does not show the order of the Taylor expansion. [R]"""

# The comparison of an analytic with a numeric directional derivative (directional.py).

SECOND_FIRST_STEP = 0.76
"""First step of a repeated measurement, relative to that of the first one, so that no steps are the same. [C]"""
ERROR_BARS = 2
"""An estimate may be wrong by this many error bars. [C]"""
ANALYTIC_ROUNDINGS = 64
"""Roundings of each entry of the analytic derivative. [R]"""
INPUT_ROUNDING = 8
"""Multiple of the change of the analytic derivative when the inputs are rounded differently. [R]"""
VALUE_ROUNDINGS = 64
"""Roundings of f that a derivative near 0 may differ by. [R]"""
MAX_NOISE = 1e-3
"""With a larger error bar, relative to the derivative, a comparison says nothing and the verdict is NOISY. [C]"""
MAX_NOISE_ROOTS = 300
"""The same as a multiple of sqrt(eps), which is larger where few digits are available. [R]"""
MAX_NOISE_VALUE_ROOTS = 16
"""The same for a derivative near 0, as a multiple of sqrt(eps) times the value of f. [R]"""
RESOLVED_KINK_ROOTS = 1
"""A kink with larger error bars, in multiples of sqrt(eps) times the derivative, is not at the point itself. [R]"""
QUANTISED_ROUNDINGS = 100
"""Roundings of a number of size 1: smaller changes of f may be roundings of intermediate results. [R]"""
SUFFICIENT_ROUNDINGS = 16
"""An estimate with an error bar of so few roundings of the derivative needs no more evaluations. [R]"""
ACCEPTABLE_ROOTS = 64
"""An error bar of so many sqrt(eps) times the derivative, or of so many roundings of f, excludes kinks near by. [R]"""
CONCLUSIVE = 1e-4
"""An error bar of this fraction of the difference between analytic and numeric leaves no doubt of a mistake. [C]"""
CERTAIN_TOLERANCES = 60
"""A difference of so many tolerances needs no repeated measurement. [C]"""
MAX_RATIO_OF_BARS = 1e6
"""A comparison without an error is ignored if its error bar is so many times that of one with an error. [C]"""

# Discontinuities (discontinuities.py, check.py).

JUMP_LONGER_STEP = 16.0
"""Relative to the step at which f jumps: at this step a jump is as high, and any other change larger. [C]"""
JUMP_GROWTH = 0.5
"""The largest change of a jump at the longer step, relative to its height. [C]"""
MAX_DISCONTINUITY_SEARCHES = 3
"""Searches for entries that make f jump, each along another direction. [W]"""

# How far the entries move (step_limits.py, problem.py, directions.py).

FIRST_STEP = 0.25
"""First step of the finite differences, relative to the typical size of an array. [C]"""
SMALLEST_STEP_ROUNDINGS = 4
"""A step of fewer roundings of the entries may not change them. [R]"""
LAST_STEP = 1e-9
"""The shortest step to try at the boundary of a domain, relative to the typical size. [W]"""
DOMAIN_STEP_RATIO = 4.0
"""From a step that leaves the domain to the next one tried. [C]"""
NEARBY_SHIFT = 0.03
"""Distance of a point near by, relative to the typical size, at which there should be no kink. [C]"""
FAR_SHIFT = 0.3
"""The same where many kinks lie close together. [C]"""
SHIFT_FACTORS = (1.0, 1e-2, 1e-4, 1e-6, 1e-8)
"""Factors of this distance, tried in turn until the point lies in the domain. [C]"""
DIRECTION_FACTORS = (0.5, 1.5)
"""Range of the random factors of a direction's entries, and of the outputs' weights: about 1, and not near 0. [C]"""
DISTANT_FACTORS = (0.5, 0.9)
"""Range of the random factors of the entries of a point far away. [C]"""
MIN_BALANCE = 1e-6
"""The least factor by which balancing shortens the move of an entry or an array. [C]"""
COMPLEX_STEP = 1e-30
"""A step whose square is 0 relative to 1; without a subtraction, no longer one is needed. [R]"""

# Searches for entries (ranges.py, locate.py).

MAX_RANGES = 100
"""Ranges to examine in one search; those that are left count as found. [W]"""
PARTS = 16
"""Parts into which a search for a single wrong entry splits a range. [W]"""
CLEAR_ERROR = 4.0
"""An error of so many times its uncertainty can be located. [C]"""
PART_DEVIATION = 0.15
"""How far the measured number of the part with the wrong entry may be from a whole number. [C]"""
SMALL_ERROR = 1e-2
"""An array with a smaller error, relative to the largest one, is not reported as detached. [C]"""
MIN_UNCERTAINTY = 1e-2
"""The least fraction of the whole direction's uncertainty that remains for a range of it. [C]"""

# The cause of an error (causes.py, check.py).

MAX_UNEXPLAINED = 1e-3
"""The fraction of an error that its cause may leave unexplained. [C]"""
MAX_PLAIN_UNCERTAINTY = 1e-3
"""With a smaller uncertainty, relative to the error, single central differences are exact enough. [C]"""
CONFIRMATIONS = 2
"""Directions, other than the one by which it was chosen, along which a candidate cause must agree. [C]"""
FACTOR_PRECISION = 1e-6
"""Relative difference of a measured factor from a known one (-1, 2, 1/n ...). [C]"""
ZERO_PRECISION = 1e-9
"""A numeric derivative below this fraction of the analytic one is 0. [C]"""
MAX_AXES = 4
"""Axes of an array of which all permutations are tried. [W]"""

# The conditions that must hold before anything is measured (analytic.py).

TIE_CHANGE = 1e-4
"""A larger change of the derivative, relative to its largest entry, when the inputs are rounded differently is no
rounding but a switch, as at the tie of a maximum. [C]
"""
TIE_ROUNDINGS = 64
"""A change of fewer roundings may be rounding in any case. [R]"""
INPUT_ROUNDINGS = 2
"""Roundings by which the inputs are moved, to see the effect of their rounding on the derivative. [R]"""
REPEATED_CALLS = 4
"""Further calls of f where two calls at the same point differ. [W]"""

# The picture of the errors (error_map.py).

MAX_CELLS = 32
"""Rows, and columns, of the error map; each cell takes two evaluations. [W]"""
