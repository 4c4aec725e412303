"""Files, cache and staging of a Kiseki namespace."""

from ._client import CacheStatsView, Client, DirEntry, StageProgress
from ._wire import KisekiError

__all__ = ["CacheStatsView", "Client", "DirEntry", "KisekiError", "StageProgress", "__version__"]
__version__ = "0.1.0"

# Tracebacks and pickles name what is imported from here.
for _each in (CacheStatsView, Client, DirEntry, KisekiError, StageProgress):
    _each.__module__ = __name__
