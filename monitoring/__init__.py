"""A trained network and images of a mine -> maps, areas, changes, polygons and a report."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from euromine.support.errors import SceneError as SceneError

    from .archive_histories import ModelChoice as ModelChoice
    from .archive_histories import SiteHistory as SiteHistory
    from .archive_histories import map_archive as map_archive
    from .history.component_areas import component_areas as component_areas
    from .history.component_transitions import component_transitions as component_transitions
    from .history.component_transitions import visible_components as visible_components
    from .history.impact_settings import ImpactSettings as ImpactSettings
    from .history.markov import change_probability as change_probability
    from .history.markov import posterior as posterior
    from .history.series_settings import SeriesSettings as SeriesSettings
    from .history.smoothing import smooth as smooth
    from .history.switch_rates import SwitchRates as SwitchRates
    from .mapping.engine_choice import EngineChoice as EngineChoice
    from .mapping.engines import on_engine as on_engine
    from .mapping.index_maps import map_indices as map_indices
    from .mapping.loading import load_model as load_model
    from .mapping.many_scenes import predict_scenes as predict_scenes
    from .mapping.model_export import export_model as export_model
    from .mapping.scene_maps import predict_scene as predict_scene
    from .monitor import MineMonitor as MineMonitor
    from .place_history import PlaceHistory as PlaceHistory
    from .place_history import map_place as map_place
    from .place_history import map_places as map_places
    from .result import SeriesResult as SeriesResult
    from .scenes.grids import Grid as Grid
    from .scenes.scene import open_scene as open_scene
    from .scenes.scene_options import SceneOptions as SceneOptions

__all__ = [
    "EngineChoice",
    "Grid",
    "ImpactSettings",
    "MineMonitor",
    "ModelChoice",
    "PlaceHistory",
    "SceneError",
    "SceneOptions",
    "SeriesResult",
    "SeriesSettings",
    "SiteHistory",
    "SwitchRates",
    "change_probability",
    "component_areas",
    "component_transitions",
    "export_model",
    "load_model",
    "map_archive",
    "map_indices",
    "map_place",
    "map_places",
    "on_engine",
    "open_scene",
    "posterior",
    "predict_scene",
    "predict_scenes",
    "smooth",
    "visible_components",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EngineChoice": ".mapping.engine_choice",
        "Grid": ".scenes.grids",
        "ImpactSettings": ".history.impact_settings",
        "MineMonitor": ".monitor",
        "ModelChoice": ".archive_histories",
        "PlaceHistory": ".place_history",
        "SceneError": "euromine.support.errors",
        "SceneOptions": ".scenes.scene_options",
        "SeriesResult": ".result",
        "SeriesSettings": ".history.series_settings",
        "SiteHistory": ".archive_histories",
        "SwitchRates": ".history.switch_rates",
        "change_probability": ".history.markov",
        "component_areas": ".history.component_areas",
        "component_transitions": ".history.component_transitions",
        "export_model": ".mapping.model_export",
        "load_model": ".mapping.loading",
        "map_archive": ".archive_histories",
        "map_indices": ".mapping.index_maps",
        "map_place": ".place_history",
        "map_places": ".place_history",
        "on_engine": ".mapping.engines",
        "open_scene": ".scenes.scene",
        "posterior": ".history.markov",
        "predict_scene": ".mapping.scene_maps",
        "predict_scenes": ".mapping.many_scenes",
        "smooth": ".history.smoothing",
        "visible_components": ".history.component_transitions",
    },
)
