"""How many will sell in the coming week? Asked of each item each morning, answered as quantiles, known a week later."""

from pipelines.core.clock import days
from pipelines.core.decision import Newsvendor, Quantiles
from pipelines.core.feature import Label, Sum
from pipelines.core.usecase import UseCase
from pipelines.shop.contracts import CONTRACTS
from pipelines.usecases.demand.features import features
from pipelines.usecases.demand.models import models

demand = UseCase(
    name="demand",
    question="How many units of this item will sell in the coming week?",
    asks=CONTRACTS["listing"],
    label=Label(of="purchase", by="item", how=Sum("quantity"), within=days(7)),
    answers=Quantiles(levels=(0.1, 0.25, 0.5, 0.8, 0.9), cost=Newsvendor(price="price_cents", short=0.4, over=0.1)),
    features=features,
    models=models,
    metrics=("pinball", "wape", "coverage"),
    unit="item",
    slices=("category", "promoted"),
)
