"""The processing level of a scene, and whether a network was trained on the same."""

from __future__ import annotations

from euromine.support.processing_levels import MEANINGS, Level, parse_level, product_level

from .locations import Location
from .scene_options import SceneOptions, contradiction


def scene_level(location: Location, *levels: Level | None, options: SceneOptions) -> Level | None:
    """The processing level of a scene: the user's, else its metadata's, else that of its product's name.

    Args:
        location: The scene's location.
        levels: Of its header and of the STAC item beside it; the first that is known counts.
        options: Scene metadata given by the user.

    Raises:
        SceneError: The user's level is another than the scene's own.
    """
    named = (product_level(location.name), product_level(location.parts))
    own = next((level for level in (*levels, *named) if level), None)
    if options.level is None:
        return own
    asked = parse_level(options.level)
    if own not in (None, asked) and not options.override:
        raise contradiction(location.shown, f"the level {own} in its metadata", f"--level {asked.lower()}")
    return asked


def level_warning(level: Level | None, trained_on: str | None) -> str | None:
    """A warning if a network was trained on another processing level than a scene's; None if not.

    Args:
        level: Of the scene; None if unknown.
        trained_on: Of the network's training images; None if unknown.
    """
    if level is None or trained_on not in MEANINGS or trained_on == level:
        return None
    return (
        f"The image is {level} ({MEANINGS[level]}), but the model was trained on {trained_on} "
        f"({MEANINGS[trained_on]}), so expect a less accurate map than its scores promise."
    )
