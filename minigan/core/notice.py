"""How the library tells its caller something that is no error."""

from __future__ import annotations

from collections.abc import Callable

Notice = Callable[[str], object]
"""Called with a sentence, without a full stop, about something that did not stop the work, such as files left out."""
