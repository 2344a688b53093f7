"""A strict stand-in for CuPy, built on NumPy: with this package's folder on the path, `import cupy` finds it.

It lets a machine without a GPU show that code would run on CuPy:

- a name is here only if CuPy has it. `names.json` lists the names of cupy 14.2 (module and ndarray), less those that
  neither NumPy nor this package has. There is no `errstate`: CuPy's own is `cupyx.errstate`, for its linear algebra;
- NumPy arrays are refused wherever CuPy refuses them, and also as an index, where CuPy copies them silently;
- nothing turns into a NumPy array or a Python number by itself, reductions give 0-d arrays, and shapes, axes and
  loop bounds cannot be device arrays;
- `cupy.cuda` has one made-up device: kernels compiled for the CPU by a shim, memory pools that poison what nobody has
  written and hand freed memory to the next, streams with capture, and graphs;
- `_standin.count_synchronisations()` counts how often the host waits for the device, and how often it copies data
  there; `_standin.observed(observe)` calls `observe` for every piece of work of the device.

Not modelled: the other submodules (`linalg`, `fft`, `random`), reading and writing files, several devices, and time.
Results are NumPy's: an index out of range raises, where CuPy wraps around, and of repeated positions in
`a[index] = values` the last one wins, where CuPy leaves open which. Library code must rely on neither.
"""

from typing import Any as _Any

from . import _standin as _standin
from ._functions import NAMES as _NAMES
from ._functions import lookup as _lookup
from ._functions import offered as _offered

__version__ = "14.2.0"


def __getattr__(name: str) -> _Any:
    return _lookup(name)


def __dir__() -> list[str]:
    return sorted(filter(_offered, _NAMES["module"]))
