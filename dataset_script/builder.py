"""The dataset as a `datasets` builder that reads an archive, without parquet shards in between."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key

from .archive import Archive, archive_fingerprint
from .component_layers import ComponentLayers
from .component_shards import component_tables
from .dataset_card import CITATION, DESCRIPTION, HOMEPAGE, LICENSE
from .labelled_sites import archive_of_years, labelled_archive, with_labels_of_components
from .patch_rows import CONFIGS, FEATURES, annual_table, pair_rows, series_row
from .scene_windows import first_rows, read_images, read_labels
from .site_scene import Scene, Site
from .splits import sites_of_splits

_VERSION = datasets.Version("1.0.0")

_BUILDER_CONFIGS = [datasets.BuilderConfig(name=name, version=_VERSION) for name in CONFIGS]


class EuroMine(datasets.ArrowBasedBuilder):
    """The dataset read from the archive itself, without parquet shards.

    `EuroMine("annual", archive="EuroMineNet.zip", dataset_name="euromine")`, then `download_and_prepare()`
    and `as_dataset()`. What it prepares under that name, `load_dataset("euromine", "annual")` finds again.
    A split without sites is absent.

    Args:
        config_name: `annual` (default), `series`, `pairs` or `components`.
        archive: The published archive, a folder or the zip.
        splits: `corrected`, `official` or a JSON file, as for `split_sites`.
        years: The years to read; by default all.
        skip_unlabelled: Whether to leave out years and sites without labels, instead of refusing them.
        **arguments: `cache_dir`, `dataset_name` and other arguments of `datasets.DatasetBuilder`.

    Raises:
        DataError: The archive or the splits cannot be used.
        ArgumentError: The splits are unknown, or leave out a site.
    """

    VERSION = _VERSION
    BUILDER_CONFIGS = _BUILDER_CONFIGS
    DEFAULT_CONFIG_NAME = CONFIGS[0]
    # The default of a thousand images would hold half a gigabyte before writing.
    DEFAULT_WRITER_BATCH_SIZE = 16

    def __init__(
        self,
        config_name: str | None = None,
        *,
        archive: str | os.PathLike[str],
        splits: str | os.PathLike[str] = "corrected",
        years: Collection[int] | None = None,
        skip_unlabelled: bool = False,
        **arguments: Any,
    ) -> None:
        chosen = with_labels_of_components(archive_of_years(Archive(archive), years))
        self._archive = labelled_archive(chosen, skip_unlabelled=skip_unlabelled)
        self._sites = sites_of_splits(self._archive, splits)
        fingerprint = archive_fingerprint(self._archive, self._sites)
        # A zip has one state for all of its years.
        arguments.setdefault("hash", "-".join([fingerprint, *map(str, sorted(set(years or ())))]))
        super().__init__(config_name=config_name, **arguments)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=DESCRIPTION,
            features=FEATURES[self.config.name],
            homepage=HOMEPAGE,
            license=LICENSE,
            citation=CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        """One generator per split; `datasets` divides its two lists among processes."""
        return [
            datasets.SplitGenerator(
                name=split,
                gen_kwargs=dict(zip(("sites", "first_rows"), self._split_rows(sites), strict=True)),
            )
            for split, sites in self._sites.items()
        ]

    def _split_rows(self, names: Sequence[str]) -> tuple[list[Site], list[int]]:
        """The sites of a split, and the annual row at which each begins."""
        sites = [self._archive.sites[name] for name in names]
        return sites, [0] * len(sites) if self.config.name == "annual" else first_rows(sites)

    def _generate_tables(self, sites: list[Site], first_rows: list[int]) -> Iterator[tuple[Key, pa.Table]]:
        """One table per patch."""
        for number, (site, first_row) in enumerate(zip(sites, first_rows, strict=True)):
            with site.open() as scene:
                for position, table in enumerate(self._tables(site, scene, first_row)):
                    yield Key(number, position), table

    def _tables(self, site: Site, scene: Scene, first_row: int) -> Iterator[pa.Table]:
        """The rows of each patch, of this builder's config."""
        if self.config.name == "components":
            if site.component_paths:
                with ComponentLayers(site, scene) as layers:
                    yield from component_tables(scene, layers, first_row)
            return
        if self.config.name == "annual":
            for patch_labels, images in zip(read_labels(scene), read_images(scene), strict=True):
                yield annual_table(scene, patch_labels, images)
            return
        for patch_labels in read_labels(scene):
            if self.config.name == "series":
                rows = [series_row(scene, patch_labels, first_row)]
            else:
                rows = list(pair_rows(scene, patch_labels, first_row))
            yield pa.Table.from_pylist(rows, schema=self.info.features.arrow_schema)
            first_row += len(scene.years)
