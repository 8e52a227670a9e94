"""The web app on the results of `euromine series` and `euromine watch`."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from .app_settings import AppSettings as AppSettings
    from .app_settings import Basemap as Basemap
    from .notebook_app import OpenedApp as OpenedApp
    from .notebook_app import open_app as open_app
    from .server import create_app as create_app
    from .space import space_contents as space_contents

__all__ = ["AppSettings", "Basemap", "OpenedApp", "create_app", "open_app", "space_contents"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AppSettings": ".app_settings",
        "Basemap": ".app_settings",
        "OpenedApp": ".notebook_app",
        "create_app": ".server",
        "open_app": ".notebook_app",
        "space_contents": ".space",
    },
)
