"""What reviewers write, in English and Chinese: praise and blame, said straight, said by negation, and said with a sigh."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """A language's phrases. `praise` and `blame` pair what is spoken of with a word for it; the `not_` patterns deny the
    opposite word, so that single words mislead: "the fabric is not bad" is praise. `glad` and `cross` are heard only at the
    ends of the scale, `fill` says nothing."""

    praise: tuple[tuple[str, str], ...]
    blame: tuple[tuple[str, str], ...]
    says: tuple[str, ...]
    not_praise: tuple[str, ...]
    not_blame: tuple[str, ...]
    glad: tuple[str, ...]
    cross: tuple[str, ...]
    fill: tuple[str, ...]
    turn: tuple[str, ...]
    more: tuple[str, ...]
    stop: str


ENGLISH = Phrases(
    praise=(
        ("the quality", "good"), ("the quality", "excellent"), ("the fabric", "soft"), ("the colour", "beautiful"),
        ("the size", "right"), ("the delivery", "fast"), ("the packaging", "careful"), ("the price", "fair"),
        ("the finish", "solid"), ("the service", "friendly"), ("the manual", "clear"), ("the smell", "pleasant"),
        ("the fit", "perfect"), ("the whole thing", "sturdy"), ("the design", "lovely"), ("the sound", "clean"),
    ),
    blame=(
        ("the quality", "bad"), ("the quality", "poor"), ("the fabric", "scratchy"), ("the colour", "faded"),
        ("the size", "wrong"), ("the delivery", "slow"), ("the packaging", "torn"), ("the price", "too high"),
        ("the finish", "cheap"), ("the service", "rude"), ("the manual", "confusing"), ("the smell", "awful"),
        ("the fit", "terrible"), ("the whole thing", "flimsy"), ("the design", "ugly"), ("the sound", "tinny"),
    ),
    says=("{0} is {1}", "{0} is really {1}", "I find {0} {1}", "{0} seems {1}", "{0} turned out {1}"),
    not_praise=("{0} is not {1}", "I would not call {0} {1}", "{0} is anything but {1}", "nobody could say that {0} is {1}"),
    not_blame=(
        "{0} is not {1} at all", "{0} is far from {1}", "I cannot say that {0} is {1}", "I feared {0} would be {1}, it never was",
    ),
    glad=("love it", "would buy again", "five stars", "highly recommended", "a great gift"),
    cross=("waste of money", "sending it back", "never again", "very disappointed", "broke after a week"),
    fill=(
        "ordered it for my mother", "arrived on Tuesday", "my second one", "bought it in the sale", "used it twice so far",
        "it is what the picture shows", "it is okay I guess", "took the larger one", "have had it for a month",
    ),
    turn=(", but ", ", although ", "; still, "), more=(", and ", ". ", "; ", ", also "), stop=".",
)  # fmt: skip

CHINESE = Phrases(
    praise=(
        ("质量", "好"), ("质量", "很棒"), ("面料", "舒服"), ("颜色", "漂亮"), ("尺码", "合适"), ("物流", "很快"),
        ("包装", "仔细"), ("价格", "实惠"), ("做工", "精细"), ("客服", "热情"), ("说明书", "清楚"), ("味道", "好闻"),
        ("版型", "满意"), ("整体", "结实"), ("款式", "好看"), ("音质", "清晰"),
    ),
    blame=(
        ("质量", "差"), ("质量", "糟糕"), ("面料", "扎人"), ("颜色", "难看"), ("尺码", "不准"), ("物流", "很慢"),
        ("包装", "破损"), ("价格", "偏贵"), ("做工", "粗糙"), ("客服", "冷淡"), ("说明书", "混乱"), ("味道", "刺鼻"),
        ("版型", "失望"), ("整体", "单薄"), ("款式", "老气"), ("音质", "沙哑"),
    ),
    says=("{0}{1}", "{0}真的{1}", "觉得{0}{1}", "{0}还算{1}", "{0}比较{1}"),
    not_praise=("{0}并不{1}", "{0}谈不上{1}", "{0}一点也不{1}", "不能说{0}{1}"),
    not_blame=("{0}并不{1}", "{0}一点也不{1}", "没觉得{0}{1}", "本来担心{0}{1}，结果没有"),
    glad=("非常喜欢", "会再来买", "五星好评", "值得推荐", "送人很合适"),
    cross=("浪费钱", "已经退货", "再也不买", "太失望了", "用了一周就坏了"),
    fill=(
        "给妈妈买的", "周二收到的", "第二次买了", "活动的时候买的", "才用了两次", "和图片一样", "一般般吧", "买了大一号", "用了一个月",
    ),
    turn=("，但是", "，不过", "，可惜"), more=("，", "。", "，而且", "，另外"), stop="。",
)  # fmt: skip

BY_LANGUAGE = {"en": ENGLISH, "zh": CHINESE}
