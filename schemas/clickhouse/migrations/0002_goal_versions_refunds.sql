-- What a conversion was counted under, what refunds took back of it, and what an attribution replaces and rests on.
--
-- `conversions.value_minor` stays as reported; `attributions.value_minor` is what is left after refunds.

ALTER TABLE conversions ADD COLUMN IF NOT EXISTS goal_version Int64 DEFAULT 1 CODEC(ZSTD(1));
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS refunded_minor Int64 CODEC(ZSTD(1));
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS refund_excess_minor Int64 CODEC(ZSTD(1));

ALTER TABLE attributions ADD COLUMN IF NOT EXISTS supersedes UInt64 DEFAULT if(revision = 0, 0, revision - 1) CODEC(ZSTD(1));
ALTER TABLE attributions ADD COLUMN IF NOT EXISTS config_version Int64 DEFAULT 1 CODEC(ZSTD(1));
ALTER TABLE attributions ADD COLUMN IF NOT EXISTS refunded_minor Int64 CODEC(ZSTD(1));
