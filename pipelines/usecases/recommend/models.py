"""Who may say what comes next: from what was just looked at to a blend of a LambdaMART and a network."""

from pipelines.core.usecase import Model
from pipelines.models.makers import blend, dummy, first_by, keras, lightgbm, linear

models = (
    Model("dummy", dummy, role="dummy"),
    Model("baseline", first_by("-seen_recency", "item_popularity"), role="baseline"),
    Model("neighbours", first_by("item_follows", "item_coview", "item_popularity")),
    Model("linear", linear),
    Model("lightgbm", lightgbm),
    Model("keras", keras),
    Model("blend", blend, of=("lightgbm", "keras")),
)
