"""Names of channels, models, reasons and states, as the pages show them."""

from typing import Final

from services.console.i18n.catalogue import text

CHANNELS: Final = {
    "paid_search": text("Paid search"),
    "paid_social": text("Paid social"),
    "feed": text("Feed ads"),
    "display": text("Display ads"),
    "paid_video": text("Video ads"),
    "paid_other": text("Other paid"),
    "affiliate": text("Affiliates"),
    "email": text("E-mail"),
    "sms": text("Text messages"),
    "push": text("Push messages"),
    "organic_search": text("Organic search"),
    "organic_social": text("Organic social"),
    "ai_assistant": text("AI assistants"),
    "referral": text("Referral"),
    "direct": text("Direct"),
    "other_campaign": text("Other campaigns"),
}
MODELS: Final = {
    "last_click": text("Last click"),
    "first_click": text("First click"),
    "linear": text("Linear"),
    "time_decay": text("Time decay"),
    "position_based": text("Position based"),
    "last_non_direct": text("Last non-direct"),
}
DIMENSIONS: Final = {
    "channel": text("Channel"),
    "source": text("Source"),
    "medium": text("Medium"),
    "campaign": text("Campaign"),
    "content": text("Content"),
}
TOUCH_TYPES: Final = {
    "click": text("ad click"),
    "impression": text("impression"),
    "view": text("video view"),
    "visit": text("visit"),
}
SHARE_REASONS: Final = {
    "last_click": text("the last click of the path"),
    "first_click": text("the first click"),
    "last_non_direct": text("the last touch that is not direct"),
    "first_non_direct": text("the first touch that is not direct, as there is no click"),
    "last_touch": text("the last touch, as all are direct"),
    "first_touch": text("the first touch, as all are direct"),
    "not_last": text("a later one is credited"),
    "not_first": text("an earlier one is credited"),
    "no_click": text("no click, and there are clicks"),
    "direct": text("a direct visit, and there are other touches"),
    "equal": text("an equal share"),
    "by_age": text("half as much for every half-life of its age"),
    "only": text("the only touch that counts"),
    "first": text("the first share"),
    "middle": text("a part of the middle share"),
    "last": text("the last share"),
    "no_touch": text("there was no touch: the conversion is credited to direct"),
}
"""In the words of `pipeline.domain.attribution.models.SHARE_REASONS`."""
LEFT_OUT: Final = {
    "outside_window": text("older than the window of its type"),
    "repeated_direct": text("a direct visit after another one"),
    "repeated_contact": text("a contact that the path has already"),
    "too_many": text("beyond the 100 touches a path holds"),
    "same_contact": text("another touch of the same contact stands for it"),
    "not_counted": text("not in the path for another reason"),
}
REVISION_REASONS: Final = {
    "initial": text("first computed"),
    "late_touch": text("a late event changed the path"),
    "merge": text("two journeys turned out to be one person's"),
    "refund": text("value was taken back"),
    "config": text("the settings had changed"),
}
