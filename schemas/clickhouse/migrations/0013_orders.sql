-- The conversions of an order, for what became of a refund. The order of a conversion is the same in all its revisions.
ALTER TABLE conversions ADD INDEX IF NOT EXISTS by_order_id order_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE conversions MATERIALIZE INDEX by_order_id;
