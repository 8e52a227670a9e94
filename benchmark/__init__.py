"""Speed and accuracy, measured side by side with what people use today."""

from euromine.support.environment import prepare_module_run

prepare_module_run()
