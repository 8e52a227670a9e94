"""Annotations to labels and back: pictures for annotation tools, and masks from their exports."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from .annotated_shapes import Annotations as Annotations
    from .label_import import ImportReport as ImportReport
    from .label_import import import_labels as import_labels
    from .recognition import read_annotations as read_annotations
    from .task_pictures import TaskSummary as TaskSummary
    from .task_pictures import write_tasks as write_tasks

__all__ = [
    "Annotations",
    "ImportReport",
    "TaskSummary",
    "import_labels",
    "read_annotations",
    "write_tasks",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Annotations": ".annotated_shapes",
        "ImportReport": ".label_import",
        "TaskSummary": ".task_pictures",
        "import_labels": ".label_import",
        "read_annotations": ".recognition",
        "write_tasks": ".task_pictures",
    },
)
