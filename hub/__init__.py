"""Publish datasets, models and metrics on the Hugging Face Hub, and link their bare names on this machine."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from .built_dataset import dataset_contents as dataset_contents
    from .contents import Contents as Contents
    from .contents import PublishedFile as PublishedFile
    from .linking import Link as Link
    from .linking import Unlinked as Unlinked
    from .linking import link as link
    from .linking import unlink as unlink
    from .metric_space import metric_contents as metric_contents
    from .publishing import Plan as Plan
    from .publishing import plan_publication as plan_publication
    from .publishing import publish as publish
    from .trained_model import model_contents as model_contents

__all__ = [
    "Contents",
    "Link",
    "Plan",
    "PublishedFile",
    "Unlinked",
    "dataset_contents",
    "link",
    "metric_contents",
    "model_contents",
    "plan_publication",
    "publish",
    "unlink",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Contents": ".contents",
        "Link": ".linking",
        "Plan": ".publishing",
        "PublishedFile": ".contents",
        "Unlinked": ".linking",
        "dataset_contents": ".built_dataset",
        "link": ".linking",
        "metric_contents": ".metric_space",
        "model_contents": ".trained_model",
        "plan_publication": ".publishing",
        "publish": ".publishing",
        "unlink": ".linking",
    },
)
