"""The JSON record of a network that was trained and scored for Tables 4 to 6."""

from __future__ import annotations

from dataclasses import dataclass

from euromine.support.run_records import TrainingFacts


@dataclass(frozen=True)
class Kind:
    """The properties that runs in one table have in common.

    Attributes:
        protocol: "corrected" or "paper".
        dataset: Digest of all rows of the dataset.
        average: How sites were averaged: "site" or "pooled".
        statistics: Name of the normalisation.
        years: The years, sorted.
        sites: Names of the test sites.
    """

    protocol: str
    dataset: str
    average: str
    statistics: str
    years: list[int]
    sites: list[str]


@dataclass(frozen=True)
class DatasetFacts:
    """The data of a run.

    Attributes:
        name: The Hub repository, or the name of the folder.
        revision: Commit of the repository; None for a folder.
        simulated: Whether the data are simulated.
        rows: Digest of the rows that were trained and scored on.
    """

    name: str
    revision: str | None
    simulated: bool
    rows: str


@dataclass(frozen=True)
class Costs:
    """The cost of a run and of its network.

    Attributes:
        parameters: Number of the network's parameters.
        gmacs: Multiply-accumulate operations for one image or pair of 160 x 160 pixels, in units of 1e9.
        encoder_gmacs: Those of encoding one year; None where the network does not encode years by themselves.
        decoder_gmacs: Those of decoding a pair; None likewise.
        run_seconds: Wall-clock time of training, selection and scoring.
        run_processor_seconds: Processor time of the same.
        run_is_whole: False if an interrupted attempt is missing from these times.
        joules: Energy by counter ("processors", "GPUs"); empty where none can be read.
        series_seconds: Time to map ten years of one patch.
    """

    parameters: int
    gmacs: float
    encoder_gmacs: float | None
    decoder_gmacs: float | None
    run_seconds: float
    run_processor_seconds: float
    run_is_whole: bool
    joules: dict[str, float]
    series_seconds: float


@dataclass(frozen=True)
class Hardware:
    """The machine of a run.

    Attributes:
        device: Name of the GPU or processor.
        processes: Number of processes that trained.
    """

    device: str
    processes: int


@dataclass(frozen=True)
class TableRecord:
    """A network trained with one seed and scored on the test sites.

    Attributes:
        task: "segmentation" or "change-detection".
        architecture: Name of the network.
        seed: Seed of the training.
        kind: What all runs in its table share.
        arguments: Arguments of the train script, without the data's location.
        given: Those that depart from the recipe, as text.
        recipe: Name of the training recipe.
        split: The lists that the sites follow: "corrected", "official", a part of them, or their own.
        sites: Names of the sites, by split.
        dataset: The data.
        scores: Headline scores, by split and name; null where a score is undefined.
        training: How the network was trained.
        costs: The cost of the run and of the network.
        hardware: The machine.
        versions: Versions of the libraries.
        checkpoint: Folder of the checkpoint, relative to that of the benchmark.
    """

    task: str
    architecture: str
    seed: int
    kind: Kind
    arguments: dict[str, str]
    given: dict[str, str]
    recipe: str
    split: str
    sites: dict[str, list[str]]
    dataset: DatasetFacts
    scores: dict[str, dict[str, float | None]]
    training: TrainingFacts
    costs: Costs
    hardware: Hardware
    versions: dict[str, str]
    checkpoint: str
