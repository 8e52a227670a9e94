"""The published archive, the dataset built from it, and its rows."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from .archive import Archive as Archive
    from .archive_bands import BANDS as BANDS
    from .archive_writing import write_site as write_site
    from .area_tables import make_tables as make_tables
    from .build_record import BuildRecord as BuildRecord
    from .build_record import read_build_record as read_build_record
    from .builder import EuroMine as EuroMine
    from .cells import decode_image as decode_image
    from .cells import decode_label as decode_label
    from .component_files import read_components as read_components
    from .label_groups import COMPONENT_CLASSES as COMPONENT_CLASSES
    from .label_groups import LabelGroups as LabelGroups
    from .label_groups import annual_label as annual_label
    from .patches import Patch as Patch
    from .patches import patch_grid as patch_grid
    from .patches import stitch as stitch
    from .reading import read_dataset as read_dataset
    from .row_batches import StackedRows as StackedRows
    from .row_batches import read_batches as read_batches
    from .shards import build_dataset as build_dataset
    from .site_areas import measure_archive as measure_archive
    from .site_scene import Scene as Scene
    from .site_scene import Site as Site
    from .splits import split_sites as split_sites
    from .statistics import BandStatistics as BandStatistics
    from .statistics import statistics_of as statistics_of

__all__ = [
    "BANDS",
    "COMPONENT_CLASSES",
    "Archive",
    "BandStatistics",
    "BuildRecord",
    "EuroMine",
    "LabelGroups",
    "Patch",
    "Scene",
    "Site",
    "StackedRows",
    "annual_label",
    "build_dataset",
    "decode_image",
    "decode_label",
    "make_tables",
    "measure_archive",
    "patch_grid",
    "read_batches",
    "read_build_record",
    "read_components",
    "read_dataset",
    "split_sites",
    "statistics_of",
    "stitch",
    "write_site",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Archive": ".archive",
        "BANDS": ".archive_bands",
        "BandStatistics": ".statistics",
        "BuildRecord": ".build_record",
        "COMPONENT_CLASSES": ".label_groups",
        "EuroMine": ".builder",
        "LabelGroups": ".label_groups",
        "Patch": ".patches",
        "Scene": ".site_scene",
        "Site": ".site_scene",
        "StackedRows": ".row_batches",
        "annual_label": ".label_groups",
        "build_dataset": ".shards",
        "decode_image": ".cells",
        "decode_label": ".cells",
        "make_tables": ".area_tables",
        "measure_archive": ".site_areas",
        "patch_grid": ".patches",
        "read_batches": ".row_batches",
        "read_build_record": ".build_record",
        "read_components": ".component_files",
        "read_dataset": ".reading",
        "split_sites": ".splits",
        "statistics_of": ".statistics",
        "stitch": ".patches",
        "write_site": ".archive_writing",
    },
)
