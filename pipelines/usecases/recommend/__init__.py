"""What will this visitor look at next? Asked at each item viewed, answered with twenty items, known within the hour."""

from pipelines.core.clock import hours
from pipelines.core.decision import Ranking
from pipelines.core.feature import First, Label
from pipelines.core.usecase import UseCase
from pipelines.shop.contracts import CONTRACTS
from pipelines.usecases.recommend.features import features
from pipelines.usecases.recommend.models import models

recommend = UseCase(
    name="recommend",
    question="Which items will this visitor look at next?",
    asks=CONTRACTS["view_item"],
    label=Label(of="view_item", by="session", how=First("item"), within=hours(1)),
    answers=Ranking(item="item", trail="trail", k=20),
    features=features,
    models=models,
    metrics=("mrr_at_20", "hit_at_20", "ndcg_at_20"),
    unit="session",
    slices=("first_view",),
)
