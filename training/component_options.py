"""The options of `train_seg.py` for the components of mines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.label_groups import LabelGroups
from euromine.modeling.bands import RADAR_BANDS
from euromine.support.errors import ArgumentError
from euromine.support.near_names import nearest_hint

PRESET = "preset"
"""The value of --label_groups that stands for `LabelGroups.preset`."""

FACTS = ("mine_type", "material", "country", "site")
"""Facts about a site by which `--where` selects."""


@dataclass
class ComponentOptions:
    """Options for the components of mines, without which a network maps footprints.

    Attributes:
        label_groups: A JSON or YAML file of groups of component classes, or "preset".
        group: The one group to train an ordinary network on; default all of them, with a head for each.
        where: Facts of the sites to train and score on, such as "mine_type=open-pit,material=coal".
    """

    label_groups: str | None = field(
        default=None,
        metadata={"help": "Map components: JSON or YAML file of groups of their classes, or preset."},
    )
    group: str | None = field(
        default=None, metadata={"help": "Train an ordinary network on this group; default a head for each."}
    )
    where: str | None = field(
        default=None,
        metadata={"help": "Sites to use, such as mine_type=open-pit,material=coal; default all."},
    )

    @property
    def groups(self) -> LabelGroups | None:
        """The groups of the network's maps; None for footprints.

        Raises:
            ArgumentError: There is no such group.
            DataError: The file holds no groups.
            OSError: The file cannot be read.
        """
        if self.label_groups is None:
            return None
        if self.label_groups == PRESET:
            whole = LabelGroups.preset()
        elif Path(self.label_groups).is_file():
            whole = LabelGroups.from_file(self.label_groups)
        else:
            raise ArgumentError(
                f"--label_groups: found no file {self.label_groups}; expected a JSON or YAML file of groups, "
                f"or {PRESET}."
            )
        if self.group is None:
            return whole
        if self.group not in whole.names:
            raise ArgumentError(
                f"--group: found {self.group!r}; expected one of {', '.join(whole.names)}"
                f"{nearest_hint(self.group, whole.names)}."
            )
        if self.group == whole.total:
            return LabelGroups({}, whole.total)
        return LabelGroups({self.group: whole.groups[self.group]})

    @property
    def wanted_facts(self) -> dict[str, tuple[str, ...]]:
        """Accepted values of each fact that `where` names.

        Raises:
            ArgumentError: A part of it is no fact and value.
        """
        wanted: dict[str, tuple[str, ...]] = {}
        for part in (self.where or "").split(",") if self.where else ():
            name, equals, value = (word.strip() for word in part.partition("="))
            if name not in FACTS or not equals or not value:
                raise ArgumentError(
                    f"--where: found {part.strip()!r}; expected NAME=VALUE with one of {', '.join(FACTS)}"
                    f"{nearest_hint(name, FACTS)}."
                )
            wanted[name] = (*wanted.get(name, ()), value)
        return wanted


def check_component_options(
    options: ComponentOptions,
    bands: Sequence[str] | None,
    protocol: str,
    sees_series: bool,
    architecture: str,
) -> None:
    """Refuse options that do not fit together, before anything is read.

    Args:
        options: The options.
        bands: The bands to use; None for all ten.
        protocol: "corrected" or "paper".
        sees_series: Whether the network sees all years at once.
        architecture: Its name.

    Raises:
        ArgumentError: They do not fit.
        DataError: The file holds no groups.
        OSError: The file cannot be read.
    """
    others = [band for band in bands or () if band not in BANDS]
    if options.groups is None:
        given = {"group": options.group, "where": options.where}
        for name, value in given.items():
            if value is not None:
                raise ArgumentError(f"--{name}: found {value} without --label_groups; expected both.")
        if others and set(others) <= set(RADAR_BANDS):
            raise ArgumentError(
                f"--bands: found {', '.join(others)} without --label_groups; expected some of "
                f"{', '.join(BANDS)}, as only the data of components hold radar images."
            )
        return
    if protocol == "paper":
        raise ArgumentError(
            "--protocol: found paper with --label_groups; expected corrected, as the paper maps footprints."
        )
    if sees_series:
        raise ArgumentError(
            f"--architecture: found {architecture}, which sees all years at once, with --label_groups; "
            "expected a footprint mapper such as segformer-b0."
        )
    known = (*BANDS, *RADAR_BANDS)
    if unknown := [band for band in bands or () if band not in known]:
        raise ArgumentError(
            f"--bands: found {', '.join(unknown)}; expected some of {', '.join(known)}"
            f"{nearest_hint(unknown[0].upper(), known)}."
        )
    options.wanted_facts  # noqa: B018 - refused before anything is read


def matches_of(facts: Mapping[str, Sequence[str | None]], wanted: Mapping[str, Sequence[str]]) -> list[int]:
    """The rows whose facts have one of the wanted values.

    Args:
        facts: The facts of all rows, by name.
        wanted: Accepted values, by name.
    """
    rows = range(len(next(iter(facts.values()), ())))
    return [row for row in rows if all(facts[name][row] in values for name, values in wanted.items())]


def no_site_error(
    facts: Mapping[str, Sequence[str | None]], wanted: Mapping[str, Sequence[str]], dataset: str
) -> ArgumentError:
    """The error for facts that no training site has."""
    for name, values in wanted.items():
        there = sorted({value for value in facts[name] if value is not None})
        for value in values:
            if value not in there:
                expected = (
                    f"one of {', '.join(there)}{nearest_hint(value, there)}" if there else "no such fact"
                )
                return ArgumentError(
                    f"--where: found {name}={value}, which no training site of {dataset} has; expected "
                    f"{expected}."
                )
    together = ",".join(f"{name}={value}" for name, values in wanted.items() for value in values)
    return ArgumentError(
        f"--where: found {together}, which no training site of {dataset} has together; expected fewer facts."
    )
