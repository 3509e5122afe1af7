"""Is this payment a fraud? Asked at checkout, answered in milliseconds, known days or weeks later."""

from pipelines.core.clock import days
from pipelines.core.decision import CostMatrix, Probability
from pipelines.core.feature import Count, Label
from pipelines.core.usecase import UseCase
from pipelines.shop.contracts import CONTRACTS
from pipelines.usecases.fraud.features import features
from pipelines.usecases.fraud.models import models

fraud = UseCase(
    name="fraud",
    question="Is this payment a fraud?",
    asks=CONTRACTS["payment"],
    label=Label(of="chargeback", by="payment_id", how=Count(), at_least=1, within=days(30)),
    answers=Probability(CostMatrix(missed="amount_cents", review=300, wrong_block=1500)),
    features=features,
    models=models,
    metrics=("average_precision", "roc_auc", "card_precision_at_100", "log_loss"),
    unit="card",
    slices=("country", "new_card"),
    risk="high",
)
