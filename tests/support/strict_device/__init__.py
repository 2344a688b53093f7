"""A strict stand-in for CuPy, built on NumPy: `import strict_device as xp` where a GPU would `import cupy as xp`.

It lets a machine without a GPU show that code would run on CuPy:

- a name is here only if CuPy has it. `names.json` lists the names of cupy 14.2 (module and ndarray), less those that
  neither NumPy nor this package has. There is no `errstate`: CuPy's own is `cupyx.errstate`, for its linear algebra;
- NumPy arrays are refused wherever CuPy refuses them, and also as an index, where CuPy copies them silently;
- nothing turns into a NumPy array or a Python number by itself, reductions give 0-d arrays, and shapes, axes and
  loop bounds cannot be device arrays;
- `count_synchronisations()` counts how often the host waits for the device, and how often it copies data there;
  `observed(observe)` calls `observe` for every piece of work of the device.

Not modelled: submodules (`linalg`, `fft`, `random`, `cuda`), kernels, streams, memory pools, reading and writing files.
Results are NumPy's: an index out of range raises, where CuPy wraps around, and of repeated positions in
`a[index] = values` the last one wins, where CuPy leaves open which. Library code must rely on neither.
"""

from typing import Any as _Any

from ._counters import count_synchronisations, observed
from ._functions import NAMES as _NAMES
from ._functions import lookup as _lookup
from ._functions import offered as _offered

__all__ = ["count_synchronisations", "observed"]  # the names that CuPy does not have


def __getattr__(name: str) -> _Any:
    return _lookup(name)


def __dir__() -> list[str]:
    return sorted([*filter(_offered, _NAMES["module"]), *__all__])
