"""Who may say that a review is good: from the share of good ones in its language to a stack of three."""

from pipelines.core.usecase import Model
from pipelines.models.makers import blend, dummy, keras, lightgbm, linear, rate_by_category, stack, vote

trio = ("linear", "lightgbm", "keras")

models = (
    Model("dummy", dummy, role="dummy"),
    Model("baseline", rate_by_category("language"), role="baseline"),
    Model("linear", linear),
    Model("lightgbm", lightgbm),
    Model("keras", keras),
    Model("vote", vote, of=trio),
    Model("blend", blend, of=trio),
    Model("stack", stack, of=trio),
)
