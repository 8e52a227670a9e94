"""The parts of `train_seg.py` and `train_cd.py`: data, trainer, evaluation, run folders and model cards."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from euromine.support.run_records import RunRecord as RunRecord
    from euromine.support.run_records import RunResults as RunResults

    from .collation import SeriesCollator as SeriesCollator
    from .evaluation import SeriesScores as SeriesScores
    from .evaluation import predict_series as predict_series
    from .patch_series import PatchSeries as PatchSeries
    from .sampling import PairSampler as PairSampler
    from .sampling import SeriesSampler as SeriesSampler
    from .series_trainer import SeriesTrainer as SeriesTrainer

__all__ = [
    "PairSampler",
    "PatchSeries",
    "RunRecord",
    "RunResults",
    "SeriesCollator",
    "SeriesSampler",
    "SeriesScores",
    "SeriesTrainer",
    "predict_series",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "PairSampler": ".sampling",
        "PatchSeries": ".patch_series",
        "RunRecord": "euromine.support.run_records",
        "RunResults": "euromine.support.run_records",
        "SeriesCollator": ".collation",
        "SeriesSampler": ".sampling",
        "SeriesScores": ".evaluation",
        "SeriesTrainer": ".series_trainer",
        "predict_series": ".evaluation",
    },
)
