"""From accepted events to sessions, conversions and credits: `domain` decides, `stream` runs it on `runtime`."""
