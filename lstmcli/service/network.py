"""The network of a service: one pool of runtimes for cameras, sessions and videos."""

from __future__ import annotations

from lstmcli.core.jobs import thread_count
from lstmcli.core.progress import Progress
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime_pool import RuntimePool, open_runtimes
from lstmcli.service.options import ServeOptions
from lstmcli.tracking import Tracker
from lstmcli.workflows.detect.sources import default_model, kept_classes


class ServedNetwork:
    """Makes a predictor and a tracker for each stream; all streams share the weights.

    Args:
        options: of the service.
        progress: is given notes on what was chosen.
        runtimes: where they are open already.

    Raises:
        ConfigError: an unknown class, device or engine.
        ModelError: the model is missing or damaged.
    """

    def __init__(
        self, options: ServeOptions, progress: Progress, runtimes: RuntimePool | None = None
    ) -> None:
        self.model, sentence = default_model(options.model)
        if sentence:
            progress.note(sentence)
        self.threshold = options.threshold
        self.runtimes = runtimes or open_runtimes(
            self.model,
            device=options.device,
            engine=options.engine,
            streams=options.max_sessions + len(options.cameras) + 1,
            progress=progress,
        )
        first = self.runtimes.of(None)
        self.engine, self.device = first.engine, first.device
        self.classes = first.metadata.classes
        self.kept = kept_classes(options.classes, self.classes)
        self._calibration = first.metadata.calibration
        on_cuda = first.device.startswith("cuda")
        self.threads = options.max_sessions if on_cuda else thread_count()
        """Threads that step sessions: a batch needs one each, a CPU does not gain from more."""

    def tracker(self) -> Tracker:
        """Return the tracker of a new stream."""
        return Tracker(threshold=self.threshold, calibration=self._calibration)

    def predictor(self, size_hw: tuple[int, int], min_score: float) -> Predictor:
        """Return the predictor of a new stream of pictures of (height, width)."""
        return Predictor(self.runtimes.of(size_hw), threshold=min_score)
