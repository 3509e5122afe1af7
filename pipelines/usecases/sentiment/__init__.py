"""Is this a good review? Asked when its text comes in, in English or Chinese, known when the stars do."""

from pipelines.core.clock import days
from pipelines.core.decision import CostMatrix, Probability
from pipelines.core.feature import First, Label
from pipelines.core.usecase import UseCase
from pipelines.shop.contracts import CONTRACTS
from pipelines.usecases.sentiment.features import features
from pipelines.usecases.sentiment.models import models

sentiment = UseCase(
    name="sentiment",
    question="Is this a good review?",
    asks=CONTRACTS["review"],
    label=Label(of="rating", by="review_id", how=First("stars"), at_least=4, within=days(2)),
    answers=Probability(CostMatrix(missed=1500, review=100, wrong_block=300, costly=0, actions=("thank", "read", "call"))),
    features=features,
    models=models,
    metrics=("roc_auc", "macro_f1", "accuracy", "log_loss"),
    unit="item",
    slices=("language", "category"),
)
