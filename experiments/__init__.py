"""The effect of a defect or a smoothing on the scores."""

from euromine.support.environment import prepare_module_run

prepare_module_run()
