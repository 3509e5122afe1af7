"""The shop's vocabulary: one contract per kind of event, with Google Analytics 4's names where it has one."""

from __future__ import annotations

from pipelines.core.clock import days, hours
from pipelines.core.contract import Contract, Field

UNKNOWN_COUNTRY = "XX"
"""The country code of a source that gives none (user-assigned in ISO 3166, so that it is nobody's)."""

CENTS = "EUR cents"
"""Money is integer cents of the shop's currency."""

LANGUAGES = ("en", "zh")


def _key(name: str, doc: str, *, required: bool = True) -> Field:
    return Field(name, "string", doc, minimum=1, maximum=128, required=required, key=True)


def _word(name: str, doc: str, *, required: bool = True, choices: tuple[str, ...] | None = None) -> Field:
    return Field(name, "string", doc, minimum=1, maximum=128, required=required, choices=choices)


def _money(name: str, doc: str, maximum: int) -> Field:
    return Field(name, "cents", doc, CENTS, 0, maximum)


def _prose(name: str, doc: str, maximum: int, *, required: bool = True) -> Field:
    return Field(name, "text", doc, minimum=1, maximum=maximum, required=required)


CUSTOMER = _key("customer", "who; null for a guest", required=False)
ITEM = _key("item", "the catalogue's item")
SESSION = _key("session", "one visit of the web shop")
ORDER = _key("order_id", "the order it belongs to")
PAYMENT = _key("payment_id", "the payment it is about")
COUNTRY = Field("country", "string", f"ISO 3166 code, {UNKNOWN_COUNTRY} where it is unknown", minimum=2, maximum=64)
UNIT_PRICE = _money("price_cents", "what one unit cost", 1_000_000)
QUANTITY = Field("quantity", "integer", "units, always above zero: what comes back is a refund", "units", 1, 100_000)
RELEASE = _word("release", "digest of the signed release", required=False)
BUNDLE = _word("bundle", "digest of the bundle that answers", required=False)
USECASE = _key("usecase", "the use case it is about")

BROWSING = (
    Contract("view_item", "Somebody looked at an item in the web shop.", (
        SESSION, CUSTOMER, ITEM,
        Field("trail", "strings", "items viewed before in this session, newest last", "items", 0, 50),
    ), hours(24)),
    Contract("add_to_cart", "An item was put into the cart.", (SESSION, CUSTOMER, ITEM, QUANTITY, UNIT_PRICE), hours(24)),
    Contract("search", "Somebody searched the web shop.", (
        SESSION, CUSTOMER, _prose("query", "what was typed", 500),
        Field("results", "integer", "how many items were found", "items", 0, 1_000_000, required=False),
    ), hours(24)),
)  # fmt: skip

SELLING = (
    Contract("purchase", "One line of an order: so many units of one item.", (
        ORDER, CUSTOMER, ITEM, QUANTITY, UNIT_PRICE, COUNTRY,
    ), hours(24)),
    Contract("refund", "Units that came back and were paid back.", (
        ORDER, CUSTOMER, ITEM, QUANTITY, UNIT_PRICE,
        _word("reason", "why, as the customer ticked it", required=False),
    ), days(3)),
    Contract("listing", "An item as it stands in the shop when the day begins.", (
        ITEM, _word("category", "the shelf it stands on"), UNIT_PRICE,
        Field("on_hand", "integer", "units in stock; null where the source does not say", "units", 0, 10_000_000, required=False),
        Field("promoted", "integer", "1 while a promotion runs, else 0", None, 0, 1),
    ), hours(48)),
    Contract("campaign", "A promotion was announced.", (
        _key("campaign_id", "the campaign"), _word("category", "the shelf it is for"),
        Field("discount", "number", "share taken off the price", "share", 0, 1),
        Field("lasts_days", "integer", "how long it runs", "days", 1, 365),
        _word("channel", "where it was announced", required=False),
    ), days(400)),
)  # fmt: skip

PAYING = (
    Contract("payment", "A card was used to pay an order, at a till or in the web shop.", (
        _key("payment_id", "this payment"), _key("order_id", "the order that is paid", required=False),
        _key("card", "the card, pseudonymous"), _key("customer", "the card's owner"),
        _key("terminal", "the till, or the web shop's payment page"),
        _money("amount_cents", "what is paid", 500_000), COUNTRY,
        _word("device", "till, mobile, desktop or tablet", required=False),
    ), hours(24)),
    Contract("chargeback", "The card's owner says that a payment was not theirs.", (
        PAYMENT, _key("card", "the card"), _key("customer", "the card's owner"), _key("terminal", "where it was paid"),
        _money("amount_cents", "what was paid", 500_000),
    ), days(3)),
)  # fmt: skip

SPEAKING = (
    Contract("review", "A customer wrote about an item.", (
        _key("review_id", "this review"), ITEM, CUSTOMER, _word("category", "the item's shelf", required=False),
        _word("language", "the language of the text", choices=LANGUAGES), _prose("text", "what was written", 20_000),
    ), days(3)),
    Contract("rating", "The stars that belong to a review; they may come later than its text.", (
        _key("review_id", "the review they belong to"), _key("item", "the item", required=False),
        Field("stars", "integer", "1 is bad, 5 is good", "stars", 1, 5),
        Field("recommended", "integer", "1 if the customer recommends the item, 0 if not", None, 0, 1, required=False),
    ), days(3)),
)  # fmt: skip

OURS = (
    Contract("prediction", "An answer we gave, with all that is needed to trace it.", (
        _key("request_id", "the request that was answered"), USECASE, _key("ask", "id of the event that asked"),
        RELEASE, BUNDLE, _word("verdict", "digest of the verdict that let the release answer", required=False),
        Field("score", "number", "the calibrated score; null where the answer is a list", required=False),
        _word("action", "what was advised", required=False),
        Field("propensity", "number", "the chance that the label of the ask can be seen", None, 0, 1, required=False),
        _prose("answer", "the whole answer as JSON", 100_000), _prose("inputs", "the features as JSON", 100_000, required=False),
        Field("seen_offset", "integer", "offset of the log that the features had seen", None, 0, required=False),
        Field("degraded", "boolean", "true if something it relies on was away"),
        Field("reasons", "strings", "what was away", required=False),
    ), days(400)),
    Contract("promotion", "The release that answers a use case changed, or was told to stay.", (
        USECASE, _word("action", "what was done", choices=("promote", "rollback", "fallback", "hold", "unhold")), RELEASE, BUNDLE,
        _word("replaces", "digest of the bundle that answered before", required=False),
        Field("epoch", "integer", "the count of promotions", None, 0), _word("actor", "who did it"),
        _prose("reason", "why", 2_000, required=False),
    ), days(400)),
    Contract("alarm", "Something that a person should know.", (
        USECASE, _word("cause", "data, drift, quality, operations or retraining"),
        _word("status", "raised or cleared", choices=("raised", "cleared")), _prose("message", "what moved and by how much", 10_000),
    ), days(400)),
)  # fmt: skip

CONTRACTS: dict[str, Contract] = {contract.kind: contract for contract in (*BROWSING, *SELLING, *PAYING, *SPEAKING, *OURS)}
"""Every kind of event and what a well-formed one is."""

SIMULATED = tuple(contract.kind for contract in (*BROWSING, *SELLING, *PAYING, *SPEAKING))
"""The kinds that the shop itself sends; the others are our own."""
