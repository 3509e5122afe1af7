"""Who may say how many will sell: from last week's units to a blend of three."""

from pipelines.core.usecase import Model
from pipelines.models.makers import blend, dummy, keras, lightgbm, linear, seasonal_naive, vote

trio = ("linear", "lightgbm", "keras")

models = (
    Model("dummy", dummy, role="dummy"),
    Model("baseline", seasonal_naive("units_7d"), role="baseline"),
    Model("linear", linear),
    Model("lightgbm", lightgbm),
    Model("keras", keras),
    Model("vote", vote, of=trio),
    Model("blend", blend, of=trio),
)
