"""Who may say that a payment is a fraud: from the share of frauds among like amounts to a stack of three."""

from pipelines.core.usecase import Model
from pipelines.models.makers import blend, dummy, keras, lightgbm, linear, rate_by_bin, stack, vote

trio = ("linear", "lightgbm", "keras")

models = (
    Model("dummy", dummy, role="dummy"),
    Model("baseline", rate_by_bin("amount_cents"), role="baseline"),
    Model("linear", linear),
    Model("lightgbm", lightgbm),
    Model("keras", keras),
    Model("vote", vote, of=trio),
    Model("blend", blend, of=trio),
    Model("stack", stack, of=trio),
)
