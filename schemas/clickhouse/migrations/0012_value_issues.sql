-- Why the value of a conversion is not known, where an amount or a currency was given that cannot be read.
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS value_issue LowCardinality(String) DEFAULT '';
ALTER TABLE attributions ADD COLUMN IF NOT EXISTS value_issue LowCardinality(String) DEFAULT '';
