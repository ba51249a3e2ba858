"""The networks a worker has in memory: the default, the one that a job asked for last, each as it is on disk now."""

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from unetr.bundle import BundleInfo, ModelError
from unetr.catalogue import find_models
from unetr.loading.converted import remove_outdated, usable_bundle

if TYPE_CHECKING:
    from unetr.predictor import Predictor

KEPT = 2
"""Networks in memory at most, the default among them; a full UNETR takes 0.4 GB, and its engine may keep a copy."""

logger = logging.getLogger(__name__)


class Models:
    """Gives a job its network.

    Before each job the bundle is looked at: if its files have changed it is loaded anew. A bundle that cannot be used,
    half-copied perhaps, leaves the network that was loaded from it before in service; without one the job fails.
    Whoever has been given a network keeps it until done.

    Parameters
    ----------
    model_path
        The default's bundle, or a checkpoint; others lie beside it.
    var_dir
        Where converted checkpoints are kept.
    load
        Makes a network of a bundle's folder.
    on_default
        Called with the default network each time it is loaded.

    Raises
    ------
    ModelError
        When the default cannot be used.
    """

    def __init__(
        self,
        model_path: Path,
        var_dir: Path,
        load: Callable[[Path], "Predictor"],
        on_default: Callable[["Predictor"], None] = lambda _: None,
    ) -> None:
        self._path, self._var_dir, self._load, self._on_default = model_path, var_dir, load, on_default
        self._loaded: dict[Path, Predictor] = {}  # by bundle, the one used last at the end
        self._default: Path | None = None
        self(None)

    def __call__(self, name: str | None) -> "Predictor":
        """Give the network of this name, None for the default; raises ModelError when it cannot be had."""
        try:
            usable_bundle(self._path, self._var_dir)  # a checkpoint is converted when it is new
            found = find_models(self._path, self._var_dir)
            info = found.find(name)
            self._load_changed(info, is_default=info.name == found.default)
        except ModelError as error:
            earlier = self._earlier(name)
            if earlier is None:
                raise
            logger.warning("%s The network that was loaded before goes on.", error)
            return earlier
        predictor = self._loaded.pop(info.path)
        self._loaded[info.path] = predictor
        return predictor

    def _load_changed(self, info: BundleInfo, *, is_default: bool) -> None:
        if info.path in self._loaded and self._loaded[info.path].info.same_as(info):
            return
        self._loaded[info.path] = self._load(info.path)
        if is_default:
            self._default = info.path
        others = [path for path in self._loaded if path not in (self._default, info.path)]
        for path in others[: max(0, len(self._loaded) - KEPT)]:
            del self._loaded[path]
        _give_back_memory()
        remove_outdated(self._var_dir)
        if is_default:
            self._on_default(self._loaded[info.path])

    def _earlier(self, name: str | None) -> "Predictor | None":
        for path, predictor in self._loaded.items():
            if name == predictor.info.name or (name is None and path == self._default):
                return predictor
        return None


def _give_back_memory() -> None:
    """Free networks that nobody has any more; what stays is not looked at again: that costs up to 0.3 s a job."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
