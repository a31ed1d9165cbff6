"""Where people come from: addresses, referrers, campaign tags and the rules that make a channel of them."""
